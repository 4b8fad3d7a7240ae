//! The end of all sums, and what came too late for one: both ends of a link count the same frames.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::future;

use super::{
    Kind,
    client::{Client, Told, encoded, malformed},
    msg::{self, Keys, Members},
    role,
    server::{Server, Stop, all_done},
};
use crate::{
    abort::Abort,
    channel::{Channel, Role},
    ctx::Ctx,
};

/// How long a message is read for that may not have come.
pub(super) const SHORT: Duration = Duration::from_millis(1);

/// How long at the end, when what is left has come and is only to be read.
const SETTLED: Duration = Duration::from_secs(1);

impl<C: Channel> Client<C> {
    /// Tells the adder that no more sums follow, and waits until enough clients have said so; these. A client that is
    /// not among them is not told: it came too late, and is left out.
    ///
    /// # Errors
    /// The channel's; an answer that is none.
    pub async fn done(self) -> Result<Members, Abort> {
        let ctx = self.ctx.narrow(self.next);
        let keys = self.keys(
            &self.params.session(self.next),
            (0, Kind::Words),
            [0; 32],
            [0; 32],
            [0; 32],
        );
        ctx.send(Role::Helper, "keys", encoded(&keys)).await?;
        let body = self.hear(&ctx, "done").await?;
        let step = ctx.path();
        match self.told(&body, step)? {
            Told::GoesOn(fields, done) => {
                fields.end()?;
                let sound = done.contains(self.group.me) && done.count() >= self.params.threshold;
                sound.then_some(done).ok_or_else(|| {
                    malformed(
                        step,
                        "an end of all sums without this bank, or too few others",
                    )
                })
            }
            Told::Ends(_) => Err(malformed(step, "neither a step nor an end")),
        }
    }
}

impl<C: Channel> Server<'_, C> {
    /// Notes from whom a message is still to come.
    pub(super) fn too_late(&mut self, index: u32, name: &'static str, from: Members) {
        self.late
            .extend(from.iter().map(|client| (index, client, name)));
    }

    pub(super) fn missed(
        &mut self,
        index: u32,
        name: &'static str,
        from: Members,
        came: &BTreeMap<usize, Bytes>,
    ) {
        let came: Members = came.keys().copied().collect();
        self.too_late(index, name, from.without(&came));
    }

    /// Reads what has come too late.
    pub(super) async fn read_late(&mut self, wait: Duration) {
        let late = std::mem::take(&mut self.late);
        let reads = late.into_iter().map(|(index, client, name)| {
            let ctx = self.ctx.narrow(index).with_deadline(wait);
            async move {
                let read = ctx.recv(role(client), name).await;
                read.is_err().then_some((index, client, name))
            }
        });
        let left = future::join_all(reads).await;
        self.late = left.into_iter().flatten().collect();
    }

    /// The end of all sums: those who were in the last one are waited for, for the usual while; then all who have come
    /// hear who they are. Everything that these have sent before is read.
    pub(super) async fn close(
        &mut self,
        ctx: &Ctx<C>,
        came: BTreeMap<usize, Bytes>,
    ) -> Result<(), Stop> {
        let mut done: Members = came.keys().copied().collect();
        let rest = self.last.without(&done);
        if rest.count() > 0 {
            let came = self
                .collect(ctx, rest, "keys", Keys::BYTES, self.params.limit, None)
                .await?;
            for (client, body) in came {
                if all_done(&BTreeMap::from([(client, body)]), ctx.path())? {
                    done = done.or(&[client].into_iter().collect());
                }
            }
        }
        // what others have sent that do not come any more is nobody's account
        self.late.retain(|(_, client, _)| done.contains(*client));
        self.read_late(self.params.patience.min(SETTLED)).await;
        if done.count() < self.params.threshold {
            return Err(Stop::Abort(Abort::TooFewClients {
                step: ctx.path().to_owned(),
                present: done.count(),
                needed: self.params.threshold,
                missing: self.all().without(&done).roles(),
            }));
        }
        let body = msg::going_on(done, 0).freeze();
        self.tell(ctx, done, "done", |_| body.clone()).await;
        Err(Stop::Done)
    }
}
