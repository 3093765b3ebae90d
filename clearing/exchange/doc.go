// Package exchange is the arithmetic of payments in two currencies: the payer's
// network pays the source amount to a dealer, the dealer pays the target amount to
// the payee's network, and a quote says how the one follows from the other.
//
// One side is fixed, the other is computed from it, and rounded once to whole
// minor units of its own currency. The dealer keeps what the rounding leaves: a
// target is rounded down, a source is rounded up. What is left is never negative
// and always less than one minor unit of the rounded side.
//
// A rate is written as the market writes it: "USD/JPY 155.230" is 155.230 JPY for
// 1 USD, whichever of the two is paid for the other. Terms, "USD/JPY 155.230
// target", add which side is fixed: that is all that is needed to check a payment
// later, and it goes into the journal in this form.
//
// Everything is exact and pure: no floats, no clock, 128-bit products, and an error
// where a result would not fit.
package exchange
