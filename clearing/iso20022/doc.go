// Package iso20022 writes and reads the ISO 20022 messages between the switch and
// its settlement agent.
package iso20022
