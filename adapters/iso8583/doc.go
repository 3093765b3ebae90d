// Package iso8583 is the front door for acquirers that speak ISO 8583:1987,
// and the acquirer's end of the same link (Client).
//
// The dialect ("house dialect A") is one table, in spec.go: a field is a row.
// moov-io/iso8583 reads that table as its MessageSpec; Message, the codec on
// the hot path, is derived from the same table when the program starts. Tests
// hold the two to the same bytes. SPEC.md describes the dialect and the rules
// for people, and its field table is printed from the same rows.
//
// # Framing
//
// Two bytes, big endian, count what follows: message type (4 digits), one or
// two bitmaps of 8 raw bytes, fields. A length below 12 or above MaxFrame
// closes the link, since no later frame could be found. So does a frame that is
// not whole within ReadTimeout of its first byte.
//
// # What a message that cannot be read gets
//
// If the frame was good, and the message type and the trace number (DE11) were
// readable, the answer is the response type with DE39 of the reason (30, mostly)
// and the link stays. If not, there is nobody to answer: the link is closed.
// Responses that nobody asked for are counted and dropped.
//
// # Repeats
//
// The idempotency key is (DE32, DE33, DE11, DE7), see Key. A reply is a pure
// function of the request's fields and the switch's Answer, so a repeat (0201,
// 0401, 0421) is answered with the same bytes. A copy that arrives while the
// first is still being worked on, on the same link and with the same content, is
// not forwarded and not answered by itself: the one reply that is coming answers
// both, since replies are matched by key and never by order. A copy with other
// content goes to the switch, which knows the reason for refusing it.
//
// # Reversals
//
// 0420 is an advice: it cannot be declined. 0430 carries 00 once the switch has
// the reversal stored: when the payment is undone, when the undoing is on its
// way to the scheme (ReversalPending), when the original has not been seen
// (ReversedBeforeOriginal: it will be declined if it comes), and when the
// original had moved no money. Any other DE39 in a 0430 says that nothing was
// stored. 0400 is a request: 0410 carries 00 only when the reversal is done, and
// 09 while it is on its way.
package iso8583
