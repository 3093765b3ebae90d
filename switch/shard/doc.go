// Package shard makes one switch of several: each shard is a whole switch, with a
// journal and a writer of its own, that holds the payments of those who are at home in
// it (clearing/shard.go says what is written down). This package is how they talk.
//
// Any shard takes any request. Who pays decides where it is carried out, and the key
// is claimed before it is (Route, Place, Claim); a request that is another's is sent
// there, with what is left of its time, and the answer comes back as it is. Whatever one
// shard asks another may be asked again: everything is found by its number, or by what
// stands in the books. So nothing here remembers anything, and a shard that was killed
// goes on from its journal.
//
// In the background each shard sends home what of others lies in it; follows the windows
// that the head has closed, and those that it has settled; suspends whom the head has
// suspended; and finishes moves of participants that have left it.
//
// Subjects are tm.shard.N.EPOCH.VERB: one writer of a shard hears a question, so that
// two never answer it. tm.shard.N.epoch says which epoch is the latest. All are
// in the journal's account, which only switches enter.
package shard
