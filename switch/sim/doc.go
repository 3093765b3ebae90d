// Package sim runs the whole switch, from a till's request to the settlement
// agent's confirmation, in a world of which every accident comes from a seed.
//
// The switch is the real one: switching.Open, Engine.Do, Engine.Adopt and packages
// settle and office, on the real clearing.Ledger, Book, journal.Log and snapshots.
// What stands around it is played here: the clock, the network, the disk
// (journal.Store), the wallets (switching.Adapter), the dealer (switching.Dealer), the
// acquirers, the settlement agent, and the people of the operator. All of it runs
// inside a bubble of testing/synctest, where hours take milliseconds.
//
// A history is a seed. It draws a market of its own (market.go): which settlement
// models there are and how they settle, what payments cost, who settles through whom,
// who exchanges currencies, whether payments can be disputed, and what is done for one
// who cannot pay. Most markets are small, so that what is in them cannot hide.
// Versions of the directory come while payments are under way.
//
// A history delivers one event at a time and lets everybody run until all wait; every
// delay is drawn to the nanosecond, so that no two things happen at once and the same
// seed gives the same trace and the same journal, byte for byte. Draws of the events come from one stream; what a goroutine of the
// switch causes draws from a stream of its own, named by what it is about.
//
// After each durable entry an oracle of its own arithmetic recomputes what the
// entries say, from lists of what it was shown: fees by the text of the rules, limits
// and own shares by all that stands in windows that are not settled, disputes by a
// table of their stages, exchanges by fractions. In the end all faults are healed,
// time runs until everything is quiet, and then the journal, the books, the wallets' own books, the agent's and
// what each till was told have to agree, and a switch that started from a snapshot
// has the books of the whole journal.
//
// Over 10,000 histories every fault, every feature (feature.go), and every fault
// beside each of the great features has to come up, or the test fails.
//
//	make sim                 10,000 histories, and what happened in them
//	make sim SEEDS=100000    more of them
//	make sim SEED=123        one, with its whole trace
//	make sim-mutations       faults put into the switch, each of which must be found
package sim
