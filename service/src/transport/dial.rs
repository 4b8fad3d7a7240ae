//! Dialling the coordinator: TCP, TLS, HTTP/2.

use std::{
    error::Error as StdError,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use paripassu_proto::{NodeId, Peer};
use rustls::pki_types::ServerName;
use tokio::{io::AsyncReadExt, net::TcpStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use super::Settings;
use crate::{
    identity::Identity,
    tls::{self, Negotiated, TlsError},
};

/// The name in the handshake plays no part: the coordinator is known by its certified identity.
const NAME: &str = "coordinator.paripassu.internal";

/// Why the coordinator cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Not a host and port.
    #[error("`{address}` is not of the form host:port")]
    Address {
        /// What was given.
        address: String,
    },
    /// TLS cannot be set up on our side.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The connection failed.
    #[error("cannot connect to the coordinator at {address}: {reason}")]
    Connect {
        /// Where.
        address: String,
        /// Why, in plain words.
        reason: String,
    },
}

/// Why something above TLS failed, in plain words.
pub(crate) fn plain(error: &(dyn StdError + 'static)) -> String {
    if let Some(text) = tls::explain(error) {
        return text;
    }
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// Opens a connection on which calls can be made, to a coordinator of the consortium, and to this one
/// if `coordinator` names it.
///
/// # Errors
/// When the address is malformed, nobody answers, or a certificate is refused.
pub async fn dial(
    identity: &Identity,
    address: &str,
    coordinator: Option<NodeId>,
    settings: &Settings,
) -> Result<Channel, DialError> {
    dial_noting(identity, address, coordinator, settings, Arc::default()).await
}

/// Longest wait for a word of the other side after a handshake.
const WORD: Duration = Duration::from_secs(2);

/// Why the coordinator ends connections of this identity, if it does: over TLS 1.3 whoever dials hears that its
/// certificate is refused only when its own part of the handshake is done, and what was sent by then may drown it.
pub async fn refusal(
    identity: &Identity,
    address: &str,
    coordinator: Option<NodeId>,
    settings: &Settings,
) -> Option<String> {
    let connector = TlsConnector::from(tls::client(identity, coordinator, &settings.suites).ok()?);
    let name = ServerName::try_from(NAME).ok()?;
    let heard = async {
        let tcp = TcpStream::connect(address).await?;
        let mut stream = connector.connect(name, tcp).await?;
        stream.read_u8().await
    };
    match tokio::time::timeout(WORD, heard).await {
        Ok(Err(error)) => tls::explain(&error),
        _ => None,
    }
}

/// What the last connection made negotiated, and with which coordinator.
pub(crate) type Noted = Arc<Mutex<Option<(Negotiated, Peer)>>>;

/// As [`dial`]; notes what each connection that is made negotiates.
pub(super) async fn dial_noting(
    identity: &Identity,
    address: &str,
    coordinator: Option<NodeId>,
    settings: &Settings,
    noted: Noted,
) -> Result<Channel, DialError> {
    let bad_address = || DialError::Address {
        address: address.to_owned(),
    };
    let (host, port) = address.rsplit_once(':').ok_or_else(bad_address)?;
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(bad_address());
    }
    let connector = TlsConnector::from(tls::client(identity, coordinator, &settings.suites)?);
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| bad_address())?
        .initial_stream_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_frame_size(settings.http2_frame)
        .connect_timeout(settings.handshake)
        .http2_keep_alive_interval(settings.keepalive)
        .keep_alive_timeout(settings.keepalive)
        .keep_alive_while_idle(true);
    let name = ServerName::try_from(NAME).map_err(|_| bad_address())?;
    let target: Arc<str> = address.into();
    let trust = identity.trust().clone();
    let service = tower::service_fn(move |_| {
        let (connector, name, target) = (connector.clone(), name.clone(), Arc::clone(&target));
        let (noted, trust) = (Arc::clone(&noted), trust.clone());
        async move {
            let tcp = TcpStream::connect(&*target).await?;
            tcp.set_nodelay(true)?;
            let stream = connector.connect(name, tcp).await?;
            let connection = stream.get_ref().1;
            // the handshake has verified the certificate already
            let chain = connection.peer_certificates().unwrap_or_default();
            let peer = trust.verify(chain).ok().map(|c| c.peer().clone());
            *noted.lock().unwrap_or_else(PoisonError::into_inner) =
                Negotiated::of(connection).zip(peer);
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    endpoint
        .connect_with_connector(service)
        .await
        .map_err(|e| DialError::Connect {
            address: address.to_owned(),
            reason: plain(&e),
        })
}
