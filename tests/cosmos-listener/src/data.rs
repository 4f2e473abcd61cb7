//! What the data ports do with a request: count it, check its signature, let a fault befall it or execute it.

use std::sync::Arc;

use axum::{
    body::Bytes,
    http::{Request, Response, StatusCode},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;

use crate::{
    account::{Account, Region, Whole},
    answer::Answer,
    authorization,
    counters::Counters,
    faults::{Effect, Faults, Rule},
    operation::Operation,
};

/// More than this is not even read. The limit of a document is much lower, and is for the store to enforce.
pub(crate) const LONGEST_BODY: usize = 64 << 20;

/// All that the data ports and the control port share.
pub(crate) struct Service {
    pub(crate) account: Account,
    pub(crate) counters: Counters,
    pub(crate) faults: Faults,
}

impl Service {
    /// Answers a request that came to this region's port, or not: `None` is to cut the connection.
    pub(crate) async fn serve(
        self: Arc<Self>,
        region: Region,
        request: Request<Incoming>,
    ) -> Option<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let operation = Operation::of(&head.method, head.uri.path(), &head.headers);
        self.counters.arrived(operation.kind);
        let answer = match Limited::new(body, LONGEST_BODY).collect().await {
            Err(error) => Some(Answer::error(StatusCode::BAD_REQUEST, &error.to_string())),
            Ok(body) => {
                let request = Whole {
                    path_and_query: head.uri.path_and_query().map_or("/", |it| it.as_str()).to_owned(),
                    method: head.method,
                    headers: head.headers,
                    body: body.to_bytes(),
                };
                // In a task of its own, since Azure too goes on when the client has hung up: that a write comes late is
                // what makes a timeout ambiguous.
                let task = tokio::spawn(self.clone().answer(region, operation, request));
                task.await.unwrap_or_else(|panic| {
                    Some(Answer::error(StatusCode::INTERNAL_SERVER_ERROR, &format!("The store panicked: {panic}")))
                })
            }
        }?;
        let mut response = Response::new(Full::new(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Some(response)
    }

    async fn answer(self: Arc<Self>, region: Region, operation: Operation, request: Whole) -> Option<Answer> {
        let path = request.path_and_query.split('?').next().unwrap_or_default();
        if let Err(why) = authorization::check(&request.method, path, &request.headers) {
            let refused = Answer::error(StatusCode::UNAUTHORIZED, &why);
            self.counters.answered(&refused);
            return Some(refused);
        }
        let Some(fault) = self.faults.befalling(&operation) else {
            let answer = self.account.execute(&region, request).await;
            self.counters.answered(&answer);
            return Some(answer);
        };
        let (counted, sent) = self.befallen(&fault, &region, request).await;
        if let Some(counted) = &counted {
            self.counters.answered(counted);
        }
        sent
    }

    /// The answer that counts and the one that is sent.
    async fn befallen(&self, fault: &Rule, region: &Region, request: Whole) -> (Option<Answer>, Option<Answer>) {
        tokio::time::sleep(fault.delay()).await;
        match fault.effect() {
            Effect::Cut => (None, None),
            Effect::Status => {
                let answer = fault.answer(None);
                (answer.clone(), answer)
            }
            Effect::Delay => {
                let answer = self.account.execute(region, request).await;
                (Some(answer.clone()), Some(answer))
            }
            Effect::LoseAnswer => {
                let lost = self.account.execute(region, request).await;
                let instead = fault.answer(Some(&lost));
                (instead.clone().or(Some(lost)), instead)
            }
        }
    }
}
