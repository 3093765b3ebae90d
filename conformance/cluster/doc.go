// Package cluster holds the tests of several switches on a NATS cluster of three
// servers: five processes of their own, killed, stopped in their tracks and cut
// off from each other, under a load of hundreds of payments a second over NATS,
// with acquirers and wallets that outlive them and remember what they were told
// and what they moved. What must be true afterwards is DESIGN.md section 8.
//
// CLUSTER_SECONDS says how long the faults last (20 unless given), CLUSTER_RATE
// how many payments a second are asked for, CLUSTER_SEED what chance decides. Every
// run prints its figures.
package cluster
