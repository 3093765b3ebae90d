// Package optimise nets further than the plain net sheet does: it settles queued
// items with the liquidity that there is, plans transfers for networks that
// settle without an agent, and says how much netting saves.
//
// When a participant cannot pay its net figure, its items are not thrown out:
// BechSoramaki finds the largest set that can settle now if each payer's order
// is kept, and what is left waits for the next window with its priority. See
// TestCoverSimulation for the difference in money.
//
// All functions are pure. They work in whole minor units of one currency at a
// time, and equal input gives equal output in equal order. They only decide: the
// journal's entries move the money.
package optimise
