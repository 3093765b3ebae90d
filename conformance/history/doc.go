// Package history has tests only. Many callers ask one set of books at once,
// while the disk leaves them in doubt and other writers take over; what each was
// told, and when, is written down. Then porcupine looks for one order of events
// that explains every answer: if there is none, somebody was told something that
// no order of the limit checks could have said. And each answer is compared with a
// replay of the journal at the very entry that it names.
package history
