// Package shards tests a switch of several shards from outside: processes on one NATS
// server, killed in the middle of what they do together.
package shards
