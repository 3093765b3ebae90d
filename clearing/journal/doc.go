// Package journal is the durable, hash-chained, single-writer journal under the
// books.
//
// A message of the stream is one Batch: the entries that one group commit made
// durable together. Each batch names its writer's epoch, its own number, the
// number of its first entry, the hash of the batch before it and the Merkle root
// of its entries. A Chain checks all of that; replay, a standby and an auditor
// use the same one, and it refuses a gap, a changed byte, an exchanged batch or
// a stream of another shard by name and place.
//
// A Store keeps the messages: JetStream in service, File as the floor to measure
// against, Memory in tests. A Log is the writer: one batch in flight, appended
// only behind the very message that it knows to be last. That expectation is the
// fence between two writers; it holds because there is never a second batch in
// flight. Whether a batch of unknown fate was stored is settled by reading the
// stream, never by a guess.
//
// A store can lose its tail and still look whole. A Checkpoint, kept beside it
// or elsewhere, is the high-water mark that shows this.
package journal
