"""The worker's own tables in a collection's catalog, beside those of `index`.

* `cluster`: every cluster that ever was; a retired one keeps its successor.
* `assignment`: the cluster of each row.
* `outbox`: images whose published state may differ from their assignment, with the cluster
  under which readers see them now (NULL: they do not see them). Filled in the same durable
  transaction that logs an image (step 3), emptied after step 6.
* `cluster_outbox`, `event_outbox`: clusters and lineage events still to be published.
* `correction`: what people said of images, see `worker.corrections`.
* `truth`: the labelled sample, see `worker.truth`.
* `question`: what runs asked and people answered, see `worker.questions`; `same` is NULL while
  nobody has, `word` the granularity (empty: none).
* `erasure`: erased and replaced images of which traces may be left, see `worker.erasures`.
* `state`: single values, by name; one of them is the migration under way (`worker.migration`).
"""

SCHEMA = """
CREATE TABLE IF NOT EXISTS cluster (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  created REAL NOT NULL,
  name TEXT,
  exemplar_row INTEGER,
  retired INTEGER NOT NULL DEFAULT 0,
  successor INTEGER
);
CREATE TABLE IF NOT EXISTS assignment (
  row INTEGER PRIMARY KEY,
  cluster INTEGER NOT NULL,
  confidence REAL NOT NULL,
  provisional INTEGER NOT NULL,
  generation INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS outbox (image TEXT PRIMARY KEY, old INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cluster_outbox (number INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS event_outbox (
  sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, data TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS correction (
  number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, image TEXT NOT NULL, other TEXT,
  cluster INTEGER, at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS truth (image TEXT PRIMARY KEY, label INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS question (
  number INTEGER PRIMARY KEY, word TEXT NOT NULL, image TEXT NOT NULL, other TEXT NOT NULL,
  same INTEGER, UNIQUE (word, image, other)
);
CREATE TABLE IF NOT EXISTS erasure (
  number INTEGER PRIMARY KEY, image TEXT, at REAL NOT NULL, copies INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
