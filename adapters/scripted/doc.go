// Package scripted is a wallet that does as it is told by the code it is shown:
// approve, decline for a given reason, stay silent, answer too late, debit and
// vanish, and so on. It is the issuer and the acquirer of demonstrations, of the
// sandbox and of tests. It speaks through package native like any other wallet.
//
// It is a fake in its decisions only. Its books are real: every payment is
// debited, reversed and refunded once, under its own payment id, so that they can be
// held against the switch's journal to the last minor unit.
package scripted
