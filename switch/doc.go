// Package switching takes one payment from the scan to the answer.
//
// Step (payment.go) is the only place where a payment changes state: a pure
// function. The Engine around it reads, writes and waits: intake.go checks and
// resolves what is asked, drive.go asks the scheme and acts on what Step says,
// respond.go builds every answer from the entry in the books, recover.go finishes
// after a restart what a crash left open, outbox.go tells participants of ends
// that they were not waiting for.
//
// (The folder is called switch; that word is a keyword of Go.)
package switching
