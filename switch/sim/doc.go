// Package sim runs the whole switch, from a till's request to the settlement
// agent's confirmation, in a world of which every accident comes from a seed.
//
// The switch is the real one: switching.Open, Engine.Do and package settle, on the
// real clearing.Ledger, Book and journal.Log. What stands around it is played here: the clock, the network, the disk (journal.Store), the
// wallets (switching.Adapter), the acquirers and the settlement agent. All of it
// runs inside a bubble of testing/synctest, where hours take milliseconds.
//
// A history is a seed. It delivers one event at a time and lets everybody run
// until all wait; every delay is drawn to the nanosecond, so that no two things
// happen at once and the same seed gives the same trace and the same journal, byte
// for byte. Draws of the events come from one stream; what a goroutine of the
// switch causes draws from a stream of its own, named by what it is about.
//
// After each durable entry an oracle of its own arithmetic recomputes what the
// entries say. In the end all faults are healed, time runs until everything is
// quiet, and then the journal, the books, the wallets' own books, the agent's and
// what each till was told have to agree.
//
//	make sim                 10,000 histories, and what happened in them
//	make sim SEEDS=100000    more of them
//	make sim SEED=123        one, with its whole trace
//	make sim-mutations       faults put into the switch, each of which must be found
package sim
