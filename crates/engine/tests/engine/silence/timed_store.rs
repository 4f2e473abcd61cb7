//! A store for the tests of the silence watch.

use super::*;

/// A store that also knows when its documents were written, by a clock of its own.
#[derive(Default)]
pub(super) struct TimedStore {
    pub(super) scripted: Arc<ScriptedStore>,
    pub(super) clock: TestClock,
    pub(super) written: Mutex<HashMap<String, i64>>,
    pub(super) reads: AtomicUsize,
    /// How long the reading of a page takes, in milliseconds.
    pub(super) page_ms: AtomicI64,
    pub(super) is_out: AtomicBool,
    pub(super) is_hanging: AtomicBool,
}

impl TimedStore {
    pub(super) fn note(&self, id: &str) {
        self.written.lock().expect("no panic").insert(id.to_owned(), self.clock.now_ms());
    }

    /// Adds a document that was last heard and written at this time.
    pub(super) async fn put(&self, id: &str, ms: i64) {
        self.put_document(&document(id, version(ms), &json!({"Battery": 0.5})), ms).await;
    }

    pub(super) async fn put_document(&self, document: &Document, ms: i64) {
        self.scripted.put(document).await;
        self.written.lock().expect("no panic").insert(document.id.clone(), T0 + ms);
    }
}

#[async_trait]
impl StateStore for TimedStore {
    async fn read(&self, id: &str, charge: &RequestCharge) -> Result<Option<Stored>, StoreError> {
        self.scripted.read(id, charge).await
    }

    async fn create(&self, document: &Document, charge: &RequestCharge) -> Result<ETag, StoreError> {
        let created = self.scripted.create(document, charge).await?;
        self.note(&document.id);
        Ok(created)
    }

    async fn replace(&self, document: &Document, if_match: &ETag, charge: &RequestCharge) -> Result<ETag, StoreError> {
        let replaced = self.scripted.replace(document, if_match, charge).await?;
        self.note(&document.id);
        Ok(replaced)
    }

    async fn list(&self, selection: Selection<'_>, charge: &RequestCharge) -> Result<Page, StoreError> {
        self.scripted.list(selection, charge).await
    }

    async fn written(&self, range: WrittenRange<'_>, charge: &RequestCharge) -> Result<Vec<Written>, StoreError> {
        if self.is_out.load(SeqCst) {
            return Err(StoreError::Throttled { reason: "too many requests".into(), delay: Duration::ZERO });
        }
        if self.is_hanging.load(SeqCst) {
            return pending().await;
        }
        self.reads.fetch_add(1, SeqCst);
        charge.add(2.5);
        tokio::time::sleep(span(self.page_ms.load(SeqCst))).await;
        let mut times: Vec<_> = self.written.lock().expect("no panic").clone().into_iter().collect();
        times.retain(|(_, ms)| *ms > range.after_ms && *ms <= range.until_ms);
        times.sort_by(|(one_id, one), (other_id, other)| (one, one_id).cmp(&(other, other_id)));
        let mut page: Vec<Written> = Vec::new();
        for (id, written_ms) in times {
            if page.len() >= range.limit && page.last().is_some_and(|last| last.written_ms < written_ms) {
                break;
            }
            let document = self.scripted.document(&id).await.expect("a document");
            let etag = self.scripted.etag(&id).await.expect("a document");
            if range.filter.matches(&document) {
                page.push(Written { stored: Stored { document, etag }, written_ms });
            }
        }
        Ok(page)
    }
}
