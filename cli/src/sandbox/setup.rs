//! Who takes part, with which files, certificates and configurations.

use std::{
    fs,
    path::{Path, PathBuf},
};

use paripassu_job::{
    NodeId, Spec,
    spec::{Columns, Party, PartyRole},
};
use paripassu_model::{
    schema::{DatasetSpec, IdPart},
    table::Table,
};
use paripassu_party::config::FallbackKey;
use paripassu_proto::{NodeKind, Peer};
use paripassu_service::{identity::files, pki};
use serde::Serialize;

use super::{Input, Sandbox, layout::Layout};
use crate::{
    command::{data, write_whole},
    failure::Failure,
};

/// Days for which a sandbox's certificates are valid.
const DAYS: u32 = 90;

/// Everything known before the first process starts.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The job, its helper as it really is.
    pub(crate) spec: Spec,
    /// The data parties, label party first.
    pub(crate) parties: Vec<Source>,
    /// The coordinator's id.
    pub(crate) coordinator: paripassu_proto::NodeId,
    /// The submitting user's id.
    pub(crate) modeler: NodeId,
    /// Whether the helper is a process of its own.
    pub(crate) separate_helper: bool,
    /// Whether the nodes go on after the job.
    pub(crate) keep_nodes: bool,
}

/// One party's file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) party: Party,
    pub(crate) file: PathBuf,
    pub(crate) dataset: DatasetSpec,
    /// Further keys by which a job may match.
    pub(crate) fallback: Vec<FallbackKey>,
}

impl Source {
    /// The party's table as its node will read it.
    pub(crate) fn load(&self, spec: &Spec) -> Result<Table, Failure> {
        let label = spec.label_party().is_some_and(|p| p.id == self.party.id);
        let rejects = spec.reject_inference.as_ref().filter(|_| label);
        let rejected = rejects.map(|r| r.rejected.as_str());
        Ok(Table::load_with(&self.file, &self.ruled(spec)?, rejected)?)
    }

    /// The columns with the job's rules of the id.
    fn ruled(&self, spec: &Spec) -> Result<DatasetSpec, Failure> {
        let (columns, rules) = (&self.dataset.id_more, &spec.align.id_more_rules);
        if columns.len() != rules.len() {
            return Err(Failure::user(format!(
                "the job matches by ids of {} columns, and here they have {}",
                rules.len() + 1,
                columns.len() + 1
            ))
            .hint("give --id-more as many columns as the job has lists in align.id_more_rules"));
        }
        let more = columns.iter().zip(rules).map(|(part, rules)| IdPart {
            column: part.column.clone(),
            rules: rules.clone(),
        });
        Ok(DatasetSpec {
            id_more: more.collect(),
            id_rules: spec.align.id_rules.clone(),
            ..self.dataset.clone()
        })
    }

    /// Each row's text by each key of the job, the id first; empty where a row has none.
    pub(crate) fn keys(&self, spec: &Spec) -> Result<Vec<Vec<String>>, Failure> {
        let dataset = self.ruled(spec)?;
        let further = spec.keys().into_iter().skip(1).map(|(name, rules)| {
            let key = self.fallback.iter().find(|key| key.key == name);
            let key = key.filter(|key| key.columns.len() == rules.len());
            let key = key.ok_or_else(|| {
                let columns = rules.len();
                Failure::user(format!(
                    "the job matches by a key `{name}` of {columns} columns"
                ))
                .hint(format!("say which they are: --fallback {name}=COLUMN,.."))
            })?;
            Ok(key.as_id(&dataset, rules))
        });
        let further: Vec<DatasetSpec> = further.collect::<Result<_, Failure>>()?;
        let of = |columns: &DatasetSpec| data::keys::texts(&self.file, columns);
        std::iter::once(&dataset).chain(&further).map(of).collect()
    }
}

/// The first of some names that nobody has.
fn free(names: &[&str], spec: &Spec) -> Result<NodeId, Failure> {
    let taken = |name: &str| {
        spec.helper.id.as_str() == name || spec.party.iter().any(|p| p.id.as_str() == name)
    };
    let name = names.iter().find(|name| !taken(name));
    let name = name.ok_or_else(|| {
        Failure::user(format!("the job uses the names {}", names.join(", ")))
            .hint("rename one of its parties")
    })?;
    name.parse().map_err(Failure::ours)
}

impl Setup {
    /// Checks the files against the job and chooses names.
    pub(crate) fn new(sandbox: Sandbox, layout: &Layout) -> Result<Self, Failure> {
        let mut spec = sandbox.spec.clone();
        let parties = sources(&sandbox, layout)?;
        write_whole(&layout.job(), sandbox.job.as_bytes())?;
        for source in &parties {
            // An error in a file is better told now than when everything runs.
            let rows = source.load(&spec)?.rows();
            if spec.horizontal.is_none() {
                source.keys(&spec)?;
            }
            tracing::debug!(party = %source.party.id, rows, "read");
        }
        let coordinator = if sandbox.separate_helper {
            // The helper keeps the job's name for it, unless that is what the coordinator is called.
            if spec.helper.id.as_str() == "coordinator" {
                spec.helper.id = free(&["helper", "dealer"], &spec)?;
            }
            free(&["coordinator", "relay"], &spec)?
        } else {
            spec.helper.id.clone()
        };
        if let Some(reserved) = spec
            .party
            .iter()
            .find(|party| ["ca", "data", "logs", "nodes"].contains(&party.id.as_str()))
        {
            return Err(Failure::user(format!(
                "a party called `{}` would share a folder of {}",
                reserved.id,
                layout.root().display()
            ))
            .hint("give it another id for the sandbox"));
        }
        Ok(Self {
            coordinator: coordinator.as_str().parse()?,
            modeler: free(&["modeler", "analyst", "submitter"], &spec)?,
            separate_helper: sandbox.separate_helper,
            keep_nodes: sandbox.keep_nodes,
            spec,
            parties,
        })
    }

    /// Every node that keeps a transcript: the parties, the coordinator, a helper of its own.
    pub(crate) fn nodes(&self) -> Vec<&str> {
        let mut nodes: Vec<_> = self.parties.iter().map(|p| p.party.id.as_str()).collect();
        nodes.push(self.coordinator.as_str());
        if self.separate_helper {
            nodes.push(self.spec.helper.id.as_str());
        }
        nodes
    }

    /// The label party's id.
    pub(crate) fn label_party(&self) -> &str {
        self.parties
            .first()
            .map_or("", |source| source.party.id.as_str())
    }

    /// Makes an authority and one identity per node and for the modeler.
    pub(crate) fn write_identities(&self, layout: &Layout) -> Result<(), Failure> {
        let authority = layout.authority();
        pki::init(&authority, "Paripassu sandbox", DAYS)?;
        let mut who = vec![
            (NodeKind::Coordinator, self.coordinator.as_str()),
            (NodeKind::User, self.modeler.as_str()),
        ];
        if self.separate_helper {
            who.push((NodeKind::Helper, self.spec.helper.id.as_str()));
        }
        for source in &self.parties {
            who.push((NodeKind::Party, source.party.id.as_str()));
        }
        for (kind, id) in who {
            let peer = Peer::new(kind, id.parse()?);
            let dir = layout.identity(id);
            let request = pki::request(&dir, &peer)?;
            let certificate = dir.join(files::CERTIFICATE);
            pki::sign(&authority, &request, Some(&peer), &certificate, DAYS)?;
            pki::install(
                &dir,
                &certificate,
                &authority.join(files::AUTHORITY),
                Some(&authority.join(files::REVOKED)),
            )?;
        }
        Ok(())
    }

    /// Writes the coordinator's configuration.
    pub(crate) fn coordinator_config(&self, layout: &Layout) -> Result<PathBuf, Failure> {
        #[derive(Serialize)]
        struct Config<'a> {
            listen: &'a str,
            identity: &'a str,
            state: &'a str,
            helper: bool,
            deadlines: Deadlines,
        }
        #[derive(Serialize)]
        struct Deadlines {
            connect_s: u64,
            grace_s: u64,
        }
        let config = Config {
            listen: "127.0.0.1:0",
            identity: "identity",
            state: "state",
            helper: !self.separate_helper,
            // All processes are on this machine: one that is gone does not come back.
            deadlines: Deadlines {
                connect_s: 30,
                grace_s: 5,
            },
        };
        write_config(layout, self.coordinator.as_str(), "coordinator", &config)
    }

    /// Writes the helper's configuration.
    pub(crate) fn helper_config(&self, layout: &Layout, address: &str) -> Result<PathBuf, Failure> {
        #[derive(Serialize)]
        struct Config<'a> {
            coordinator: &'a str,
            coordinator_id: &'a str,
            identity: &'a str,
            state: &'a str,
        }
        let config = Config {
            coordinator: address,
            coordinator_id: self.coordinator.as_str(),
            identity: "identity",
            state: "state",
        };
        write_config(layout, self.spec.helper.id.as_str(), "helper", &config)
    }

    /// Writes a party's configuration.
    pub(crate) fn party_config(
        &self,
        layout: &Layout,
        source: &Source,
        address: &str,
    ) -> Result<PathBuf, Failure> {
        #[derive(Serialize)]
        struct Config<'a> {
            coordinator: &'a str,
            coordinator_id: &'a str,
            identity: &'a str,
            state: &'a str,
            results: &'a str,
            dataset: [Dataset<'a>; 1],
        }
        #[derive(Serialize)]
        struct Dataset<'a> {
            name: &'a str,
            path: &'a Path,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            fallback: &'a [FallbackKey],
            #[serde(flatten)]
            columns: &'a DatasetSpec,
        }
        let config = Config {
            coordinator: address,
            coordinator_id: self.coordinator.as_str(),
            identity: "identity",
            state: "state",
            results: "results",
            dataset: [Dataset {
                name: &source.party.dataset,
                path: &source.file,
                fallback: &source.fallback,
                columns: &source.dataset,
            }],
        };
        write_config(layout, source.party.id.as_str(), "party", &config)
    }
}

fn write_config(
    layout: &Layout,
    node: &str,
    kind: &str,
    config: &impl Serialize,
) -> Result<PathBuf, Failure> {
    let text = toml::to_string(config).map_err(Failure::ours)?;
    let dir = layout.node(node);
    fs::create_dir_all(&dir).map_err(|e| Failure::file("make", &dir, &e))?;
    let path = dir.join(format!("{kind}.toml"));
    write_whole(&path, text.as_bytes())?;
    Ok(path)
}

/// The parties of the job, label party first, each with its file and columns.
fn sources(sandbox: &Sandbox, layout: &Layout) -> Result<Vec<Source>, Failure> {
    let known: Vec<_> = sandbox
        .spec
        .seats()
        .iter()
        .map(|p| p.id.to_string())
        .collect();
    if let Some((stranger, _)) = sandbox
        .inputs
        .iter()
        .find(|(id, _)| !known.iter().any(|name| name == id.as_str()))
    {
        return Err(Failure::user(format!("the job has no party `{stranger}`"))
            .hint(format!("its parties are {}", known.join(" and "))));
    }
    let source = |party: &Party| {
        let mut inputs = sandbox.inputs.iter().filter(|(id, _)| *id == party.id);
        let (_, input) = match (inputs.next(), inputs.next()) {
            (Some(input), None) => input,
            (None, _) => {
                return Err(
                    Failure::user(format!("no file is given for party `{}`", party.id))
                        .hint(format!("add --party {}=FILE.csv", party.id)),
                );
            }
            (Some(_), Some(_)) => {
                return Err(Failure::user(format!(
                    "two files are given for party `{}`",
                    party.id
                )));
            }
        };
        let file = place(input, layout, party.id.as_str())?;
        let holds = matches!(party.role, PartyRole::Label | PartyRole::Bank);
        let label = holds.then_some(sandbox.label.as_str());
        let more: Vec<IdPart> = data::keys::parts(&sandbox.id_more);
        let dataset = match &party.columns {
            Columns::Listed {
                numeric,
                categorical,
            } => DatasetSpec {
                id_more: more.clone(),
                id: sandbox.id.clone(),
                label: label.map(str::to_owned),
                numeric: numeric.clone(),
                categorical: categorical.clone(),
                missing: sandbox.missing.clone(),
                id_rules: Vec::new(),
            },
            Columns::All => {
                let (_, mut found) = data::columns(&file, &sandbox.id, label, &sandbox.missing)?;
                data::keys::mark(&file, &mut found, &sandbox.id_more, &sandbox.fallback)?;
                DatasetSpec {
                    id_more: more.clone(),
                    id: sandbox.id.clone(),
                    label: label.map(str::to_owned),
                    ..data::dataset(&found, &sandbox.missing)
                }
            }
        };
        Ok(Source {
            party: party.clone(),
            file,
            dataset,
            fallback: sandbox.fallback.clone(),
        })
    };
    sandbox.spec.seats().into_iter().map(source).collect()
}

/// The file with a party's data, by its full path.
fn place(input: &Input, layout: &Layout, party: &str) -> Result<PathBuf, Failure> {
    match input {
        Input::File(file) => file
            .canonicalize()
            .map_err(|e| Failure::file("read", file, &e)),
        Input::Text(text) => {
            let file = layout.data(party);
            let dir = file.parent().unwrap_or(layout.root());
            fs::create_dir_all(dir).map_err(|e| Failure::file("make", dir, &e))?;
            write_whole(&file, text.as_bytes())?;
            Ok(file)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paripassu_job::spec::{TemplateKind, template};

    fn sandbox(dir: &Path) -> Sandbox {
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let bank = write("bank.csv", "id,age,y\n1,30,0\n2,40,1\n");
        let partner = write("partner.csv", "id,branch\n1,a\n2,b\n");
        let text = template(TemplateKind::VerticalLogistic);
        Sandbox {
            spec: Spec::from_toml(text, "job.toml").unwrap(),
            job: text.to_owned(),
            inputs: vec![
                ("bank".parse().unwrap(), Input::File(bank)),
                ("partner".parse().unwrap(), Input::File(partner)),
            ],
            out: dir.join("out"),
            force: false,
            separate_helper: false,
            keep_nodes: false,
            id: "id".into(),
            id_more: Vec::new(),
            fallback: Vec::new(),
            label: "y".into(),
            missing: Vec::new(),
        }
    }

    #[test]
    fn configurations_are_ones_that_the_nodes_read() {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox {
            separate_helper: true,
            ..sandbox(dir.path())
        };
        let layout = Layout::create(&sandbox.out, false).unwrap();
        let setup = Setup::new(sandbox, &layout).unwrap();
        assert_eq!(setup.spec.helper.id.as_str(), "helper");
        assert_eq!(setup.coordinator.as_str(), "coordinator");
        setup.write_identities(&layout).unwrap();

        let path = setup.coordinator_config(&layout).unwrap();
        let config = paripassu_coordinator::Config::load(&path).unwrap();
        assert!(!config.helper);
        let path = setup.helper_config(&layout, "127.0.0.1:1").unwrap();
        crate::command::helper::HelperConfig::load(&path).unwrap();
        let bank = &setup.parties[0];
        let path = setup.party_config(&layout, bank, "127.0.0.1:1").unwrap();
        let config = paripassu_party::config::PartyConfig::load(&path).unwrap();
        let set = config.dataset("applications").unwrap();
        assert_eq!(set.columns.numeric, ["age"]);
        assert_eq!(set.columns.label.as_deref(), Some("y"));
        paripassu_service::identity::Identity::load(&config.identity).unwrap();
    }

    #[test]
    fn files_must_fit_the_job() {
        let dir = tempfile::tempdir().unwrap();
        let mut missing = sandbox(dir.path());
        missing.inputs.pop();
        let layout = Layout::create(&missing.out, false).unwrap();
        let refused = Setup::new(missing, &layout).unwrap_err();
        assert!(
            refused.to_string().contains("--party partner="),
            "{refused}"
        );

        let mut stranger = sandbox(dir.path());
        stranger
            .inputs
            .push(("bureau".parse().unwrap(), Input::Text("")));
        let refused = Setup::new(stranger, &layout).unwrap_err();
        assert!(
            refused.to_string().contains("bank and partner"),
            "{refused}"
        );

        let broken = sandbox(dir.path());
        fs::write(dir.path().join("bank.csv"), "id,age,y\n1,30,0\n1,40,1\n").unwrap();
        let refused = Setup::new(broken, &layout).unwrap_err();
        assert!(refused.message().contains("row 2"), "{refused}");
        assert_eq!(refused.exit().code(), 1);
    }
}
