//! `paripassu pki`: the certificates of a consortium.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use paripassu_proto::Peer;
use paripassu_service::{
    identity::{Identity, files},
    pki::{self, Issued},
};
use serde::Serialize;

use crate::{failure::Failure, outcome::Outcome, screen::Screen, view::moment};

const FLOW: &str = "\
Examples:
  paripassu pki init --dir ca                                   once, by whoever admits members
  paripassu pki request --dir bank --as party/bank              on the bank's machine: the key stays there
  paripassu pki sign bank/node.csr --ca ca --as party/bank --out bank/node.crt
  cp ca/ca.crt ca/crl.pem bank/                                 then bank/ is a complete identity
  paripassu pki show bank";

/// Make and manage the certificates of a consortium.
#[derive(Debug, Subcommand)]
pub(crate) enum Pki {
    /// Make a certificate authority for a consortium
    Init(Init),
    /// Make a key and a request for a certificate; the key never leaves this machine
    Request(Request),
    /// Sign a request, after checking who asks
    Sign(Sign),
    /// Revoke every certificate of a node and renew the revocation list
    Revoke(Revoke),
    /// Show an identity, or what an authority has issued
    Show(Show),
}

/// Arguments of `pki init`.
#[derive(Debug, Args)]
#[command(after_help = FLOW)]
pub(crate) struct Init {
    /// Folder for ca.key, ca.crt and crl.pem
    #[arg(long, value_name = "DIR", default_value = "ca")]
    dir: PathBuf,
    /// Name of the consortium, as it stands in the certificate
    #[arg(long, value_name = "TEXT", default_value = "Paripassu consortium")]
    name: String,
    /// Days it is valid
    #[arg(long, value_name = "DAYS", default_value_t = pki::DEFAULT_AUTHORITY_DAYS)]
    days: u32,
}

/// Arguments of `pki request`.
#[derive(Debug, Args)]
#[command(after_help = FLOW)]
pub(crate) struct Request {
    /// Folder for node.key and node.csr
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Who asks: coordinator/ID, party/ID, helper/ID, user/ID or regulator/ID (who reads and changes nothing)
    #[arg(long = "as", value_name = "KIND/ID")]
    peer: Peer,
}

/// Arguments of `pki sign`.
#[derive(Debug, Args)]
#[command(after_help = FLOW)]
pub(crate) struct Sign {
    /// The request
    #[arg(value_name = "REQUEST")]
    request: PathBuf,
    /// Folder of the authority
    #[arg(long, value_name = "DIR", default_value = "ca")]
    ca: PathBuf,
    /// Who you mean to admit; a request for anyone else is refused
    #[arg(long = "as", value_name = "KIND/ID")]
    peer: Peer,
    /// Where the certificate goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Days it is valid
    #[arg(long, value_name = "DAYS", default_value_t = pki::DEFAULT_DAYS)]
    days: u32,
}

/// Arguments of `pki revoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu pki revoke party/bank --ca ca      then copy ca/crl.pem to every node and restart it")]
pub(crate) struct Revoke {
    /// Whose certificates
    #[arg(value_name = "KIND/ID")]
    peer: Peer,
    /// Folder of the authority
    #[arg(long, value_name = "DIR", default_value = "ca")]
    ca: PathBuf,
}

/// Arguments of `pki show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu pki show bank      whose identity it is, and until when
  paripassu pki show ca        everything the authority has issued")]
pub(crate) struct Show {
    /// Folder of an identity or of an authority
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, Serialize)]
struct Certificate {
    peer: String,
    serial: String,
    not_before: Option<String>,
    not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

impl From<&Issued> for Certificate {
    fn from(issued: &Issued) -> Self {
        Self {
            peer: issued.peer.clone(),
            serial: issued.serial.clone(),
            not_before: moment(issued.not_before),
            not_after: moment(issued.not_after),
            revoked_at: issued.revoked_at.and_then(moment),
        }
    }
}

impl Pki {
    pub(crate) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        match self {
            Self::Init(init) => init.run(),
            Self::Request(request) => request.run(),
            Self::Sign(sign) => sign.run(),
            Self::Revoke(revoke) => revoke.run(),
            Self::Show(show) => show.run(screen),
        }
    }
}

impl Init {
    fn run(self) -> Result<Outcome, Failure> {
        let dir = self.dir.display();
        pki::init(&self.dir, &self.name, self.days)?;
        let certificate = self.dir.join(files::AUTHORITY);
        let text = format!(
            "The authority of {:?} is in {dir}: guard {dir}/ca.key, give {} to every member.\n\
             Next: each member runs `paripassu pki request`, you run `paripassu pki sign`.",
            self.name,
            certificate.display()
        );
        let json = serde_json::json!({
            "dir": self.dir,
            "name": self.name,
            "certificate": certificate,
            "days": self.days,
        });
        Outcome::new(&json, text)
    }
}

impl Request {
    fn run(self) -> Result<Outcome, Failure> {
        let request = pki::request(&self.dir, &self.peer)?;
        let text = format!(
            "{} asks for a certificate: send {} to the authority; {}/node.key stays here.",
            self.peer,
            request.display(),
            self.dir.display()
        );
        let json = serde_json::json!({ "peer": self.peer.to_string(), "request": request });
        Outcome::new(&json, text)
    }
}

impl Sign {
    fn run(self) -> Result<Outcome, Failure> {
        let issued = pki::sign(
            &self.ca,
            &self.request,
            Some(&self.peer),
            &self.out,
            self.days,
        )?;
        let certificate = Certificate::from(&issued);
        let text = format!(
            "{} is admitted until {}: {} goes beside its key, with ca.crt and crl.pem of {}.",
            self.peer,
            certificate.not_after.as_deref().unwrap_or("?"),
            self.out.display(),
            self.ca.display()
        );
        let json = serde_json::json!({ "certificate": self.out, "issued": certificate });
        Outcome::new(&json, text)
    }
}

impl Revoke {
    fn run(self) -> Result<Outcome, Failure> {
        let revoked = pki::revoke(&self.ca, &self.peer)?;
        let list = self.ca.join(files::REVOKED);
        let text = format!(
            "{} certificate(s) of {} count no longer: copy {} to every node and restart it.",
            revoked.len(),
            self.peer,
            list.display()
        );
        let revoked: Vec<_> = revoked.iter().map(Certificate::from).collect();
        let json = serde_json::json!({ "revoked": revoked, "revocation_list": list });
        Outcome::new(&json, text)
    }
}

impl Show {
    fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        if self.dir.join("ca.key").exists() {
            return self.authority(screen);
        }
        let identity = Identity::load_unverified(&self.dir)?;
        let (not_before, not_after) = validity(&identity)?;
        let refused = identity.trust().verify(&identity.chain()).err();
        let peer = identity.peer().to_string();
        let verdict = match &refused {
            None => screen.out().good("accepted"),
            Some(why) => screen.out().bad(why),
        };
        let text = format!(
            "identity    {peer}\nvalid from  {}\nvalid to    {}\nnow         {verdict}",
            not_before.as_deref().unwrap_or("?"),
            not_after.as_deref().unwrap_or("?"),
        );
        let json = serde_json::json!({
            "peer": peer,
            "not_before": not_before,
            "not_after": not_after,
            "accepted": refused.is_none(),
            "reason": refused.map(|why| why.to_string()),
        });
        Outcome::new(&json, text)
    }

    fn authority(&self, screen: &Screen) -> Result<Outcome, Failure> {
        let issued: Vec<_> = pki::issued(&self.dir)?
            .iter()
            .map(Certificate::from)
            .collect();
        let mut table = screen.table(&["issued to", "valid to", "revoked", "serial"]);
        for certificate in &issued {
            table.row([
                certificate.peer.clone(),
                certificate.not_after.clone().unwrap_or_default(),
                certificate.revoked_at.clone().unwrap_or_default(),
                certificate.serial.clone(),
            ]);
        }
        let json = serde_json::json!({ "authority": self.dir, "issued": issued });
        Outcome::new(&json, table.to_string())
    }
}

/// From when to when an identity's certificate is valid.
pub(crate) fn validity(identity: &Identity) -> Result<(Option<String>, Option<String>), Failure> {
    let chain = identity.chain();
    let leaf = chain
        .first()
        .ok_or_else(|| Failure::user("the identity has no certificate"))?;
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|e| Failure::user(format!("the certificate cannot be read: {e}")))?;
    let validity = certificate.validity();
    Ok((
        moment(validity.not_before.timestamp()),
        moment(validity.not_after.timestamp()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::ColorWhen;

    #[test]
    fn the_walk_of_a_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let screen = Screen::new(true, ColorWhen::Never);
        let init = Pki::Init(Init {
            dir: at("ca"),
            name: "Test".into(),
            days: 10,
        });
        init.run(&screen).unwrap();
        let peer: Peer = "party/bank".parse().unwrap();
        let request = Pki::Request(Request {
            dir: at("bank"),
            peer: peer.clone(),
        });
        request.run(&screen).unwrap();
        let sign = |who: &str| {
            Pki::Sign(Sign {
                request: at("bank/node.csr"),
                ca: at("ca"),
                peer: who.parse().unwrap(),
                out: at("bank/node.crt"),
                days: 5,
            })
        };
        let refused = sign("party/partner").run(&screen).unwrap_err();
        assert!(refused.message().contains("party/bank"), "{refused}");
        assert_eq!(refused.exit().code(), 1);
        sign("party/bank").run(&screen).unwrap();
        std::fs::copy(at("ca/ca.crt"), at("bank/ca.crt")).unwrap();

        let shown = Show { dir: at("bank") }.run(&screen).unwrap();
        assert_eq!(shown.json()["accepted"], true);
        assert_eq!(shown.json()["peer"], "party/bank");

        let revoked = Revoke { peer, ca: at("ca") };
        revoked.run().unwrap();
        std::fs::copy(at("ca/crl.pem"), at("bank/crl.pem")).unwrap();
        let shown = Show { dir: at("bank") }.run(&screen).unwrap();
        assert_eq!(shown.json()["accepted"], false);
        let issued = Show { dir: at("ca") }.run(&screen).unwrap();
        assert_eq!(issued.json()["issued"].as_array().unwrap().len(), 1);
        assert!(issued.text().contains("party/bank"));
    }
}
