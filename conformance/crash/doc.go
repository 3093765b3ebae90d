// Package crash holds the tests that kill the switch: the real binary as a
// process of its own, under load from its real doors, with wallets that outlive
// it and remember what they moved. What must be true afterwards is DESIGN.md
// section 8; it is checked from outside, from the journal's dump and from what
// tills and wallets saw, with arithmetic of its own.
//
// TONGMA_KILLS says how often the switch is killed, TONGMA_SEED what chance
// decides; both are printed by every run.
package crash
