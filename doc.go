// Package tongma holds the words that every part of the switch shares: money
// and currencies, the names of payments, participants and schemes, the request
// and the answer that travel between networks, and the closed catalogue of
// reasons why a payment did not simply succeed.
//
// It imports nothing of the project. Everything in it is a value: no clock, no
// network, no logging.
package tongma
