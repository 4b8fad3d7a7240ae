//! Answering connections: every one is TLS with a certificate of the consortium, and a slow or silent
//! caller holds up nobody.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use paripassu_proto::Peer;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Status,
    service::Routes,
    transport::{
        Server,
        server::{Connected, TcpConnectInfo, TlsConnectInfo},
    },
};

use super::{Settings, dial::plain};
use crate::{
    identity::{Certified, Trust},
    shutdown::Shutdown,
    tls::Negotiated,
};

/// Handshakes under way at once.
const HANDSHAKES: usize = 128;

/// Why a node cannot serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {}", listen_reason(source))]
    Listen {
        /// Which.
        address: String,
        /// The system's words.
        source: io::Error,
    },
    /// The server stopped by itself.
    #[error("the server stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

fn listen_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use by another program; choose another or stop that one".into()
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not listen on that port; ports below 1024 need a privilege".into()
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".into(),
        _ => error.to_string(),
    }
}

/// A connection whose handshake is done.
struct Accepted(TlsStream<TcpStream>);

/// What a call knows of its connection.
#[derive(Debug, Clone)]
struct AcceptedInfo {
    tls: TlsConnectInfo<TcpConnectInfo>,
    negotiated: Option<Negotiated>,
}

impl Connected for Accepted {
    type ConnectInfo = AcceptedInfo;

    fn connect_info(&self) -> AcceptedInfo {
        AcceptedInfo {
            tls: self.0.connect_info(),
            negotiated: Negotiated::of(self.0.get_ref().1),
        }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

/// Binds the address; port 0 takes any free one.
///
/// # Errors
/// Says in plain words why not.
pub async fn listen(address: &str) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen {
        address: address.to_owned(),
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves until asked to stop.
///
/// # Errors
/// When the server stops by itself.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    routes: Routes,
    settings: &Settings,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let (tx, rx) = mpsc::channel::<io::Result<Accepted>>(16);
    let accepting = tokio::spawn(accept(
        listener,
        tls,
        tx,
        settings.handshake,
        shutdown.clone(),
    ));
    let stop = shutdown.clone();
    let served = Server::builder()
        .initial_stream_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_frame_size(settings.http2_frame)
        .http2_keepalive_interval(Some(settings.keepalive))
        .http2_keepalive_timeout(Some(settings.keepalive))
        .max_concurrent_streams(64)
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(rx), async move { stop.asked().await })
        .await;
    accepting.abort();
    served.map_err(|e| ServeError::Stopped { reason: plain(&e) })
}

async fn accept(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    ready: mpsc::Sender<io::Result<Accepted>>,
    time: Duration,
    shutdown: Shutdown,
) {
    let acceptor = TlsAcceptor::from(tls);
    let slots = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.asked() => return,
        };
        let (tcp, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // out of file descriptors, most likely: give others time to close theirs
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            let _slot = slot;
            if let Err(error) = tcp.set_nodelay(true) {
                tracing::debug!(%error, "cannot set TCP_NODELAY");
            }
            match tokio::time::timeout(time, acceptor.accept(tcp)).await {
                Ok(Ok(stream)) => {
                    if ready.send(Ok(Accepted(stream))).await.is_err() {
                        tracing::debug!("stopped serving during a handshake");
                    }
                }
                Ok(Err(error)) => tracing::warn!(%from, "refused a connection: {}", plain(&error)),
                Err(_) => tracing::warn!(%from, "a caller did not finish its handshake"),
            }
        });
    }
}

/// Who calls: the owner of the connection's certificate, judged anew for each call so that a
/// certificate that has meanwhile expired or been revoked no longer counts.
///
/// # Errors
/// `Unauthenticated` with the reason.
pub fn caller<T>(request: &Request<T>, trust: &Trust) -> Result<Certified, Status> {
    let chain = request
        .extensions()
        .get::<AcceptedInfo>()
        .and_then(|info| info.tls.peer_certs())
        .ok_or_else(|| Status::unauthenticated("no certificate was shown"))?;
    trust
        .verify(&chain)
        .map_err(|e| Status::unauthenticated(e.to_string()))
}

/// The certificates of the connection, leaf first.
pub fn caller_chain<T>(request: &Request<T>) -> Vec<bytes::Bytes> {
    request
        .extensions()
        .get::<AcceptedInfo>()
        .and_then(|info| info.tls.peer_certs())
        .map(|chain| {
            chain
                .iter()
                .map(|c| bytes::Bytes::copy_from_slice(c))
                .collect()
        })
        .unwrap_or_default()
}

/// What the connection of a call negotiated.
pub(crate) fn caller_negotiated<T>(request: &Request<T>) -> Option<Negotiated> {
    request
        .extensions()
        .get::<AcceptedInfo>()
        .and_then(|info| info.negotiated.clone())
}

/// A call's caller, if of one of these kinds.
///
/// # Errors
/// `Unauthenticated`, or `PermissionDenied` naming what was expected.
pub fn caller_of_kind<T>(
    request: &Request<T>,
    trust: &Trust,
    kinds: &[paripassu_proto::NodeKind],
) -> Result<Peer, Status> {
    let peer = caller(request, trust)?.peer().clone();
    if kinds.contains(&peer.kind) {
        return Ok(peer);
    }
    let want: Vec<_> = kinds.iter().map(|k| k.as_str()).collect();
    Err(Status::permission_denied(format!(
        "{peer} may not do this: it takes a certificate of kind {}",
        want.join(" or ")
    )))
}
