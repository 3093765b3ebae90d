// Package dispute says how a dispute between two networks goes: who may do what
// in which stage, until when, and what the end of it does to the money.
//
// The raiser is the payer's network (the debtor of the payment), the respondent
// the network that was paid. They take turns, each with a deadline; who lets its
// deadline pass has given in. What they cannot end among themselves the operator
// rules on, and two people of the operator have to agree on the ruling.
//
//	           raiser raises
//	                │
//	             raised ───────── accept ──────────▶ accepted          chargeback
//	                │ └────────── deadline ────────▶ deemed-accepted   chargeback
//	 respondent represents
//	                │
//	           represented ────── withdraw ────────▶ withdrawn         nothing
//	                │ └────────── deadline ────────▶ deemed-withdrawn  nothing
//	 raiser pre-arbitrates
//	                │
//	          pre-arbitration ─── accept, deadline ▶ (as in raised)
//	                │
//	 respondent arbitrates
//	                │
//	           arbitration ◀────────────────┐
//	                │ a first person proposes│ a second person refuses
//	uphold-proposed, reject-proposed ───────┘
//	                │ a second person approves
//	           upheld                                                  chargeback
//	           rejected                                                nothing
//
// Besides its turns, the raiser may withdraw and the respondent may accept in
// every stage in which nobody has proposed a ruling: giving in is never out of
// turn, but it can be too late.
//
// Everything here is a pure function. The caller gives the time and the deadline,
// as Unix milliseconds, keeps the stage, and posts the chargeback; a dispute that
// is open or charged back counts against what is left of the payment, which is
// the caller's arithmetic too.
package dispute
