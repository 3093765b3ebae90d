// Package native is Tongma's own protocol: JSON over NATS requests, both ways.
//
// A wallet's or an acquirer's programmer needs two things of it. Serve answers
// what the switch asks of a scheme: implement Wallet, embed Unimplemented for
// what is not offered, and wrap it with Dedupe to be idempotent. Client asks
// the switch: Pay, Transfer, Resolve and the rest, and Events to hear what
// became of payments.
//
// The switch's halves of both are here too, so that one package holds the whole
// protocol: Adapter asks a scheme's adapter, ServeSwitch answers participants.
//
// There are three answers, never two. What was surely not sent, or surely not
// taken, is an error whose reason says not executed; everything else that is
// not a readable answer of the right payment and amount is unknown. A timeout is
// never a decline.
package native
