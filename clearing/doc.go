// Package clearing keeps the books between the networks.
//
// Everything that happened stands in the journal as entries (entry.go), in
// batches that are durable before anybody is told (ledger.go). The Book is what
// the entries add up to: holds, positions, windows. Book.Propose decides whether
// an entry may be written; Book.Apply is the only place where a position changes,
// live or on replay. Net and Instruct turn a closed window into figures and
// instructions; Audit recomputes all of it from the journal with arithmetic of
// its own.
//
// Nothing in the Book reads a clock, a random number or the order of a map: time
// comes in the entry.
package clearing
