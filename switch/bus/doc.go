// Package bus is the NATS side of the switch: the embedded server with its
// accounts and permissions, and the connections to it or to a cluster elsewhere.
//
// There are two accounts. JOURNAL belongs to the switch process alone: its one
// user exists in memory only and may connect only from within. TONGMA carries
// requests, answers and events; each participant is one NKey user in it, and may
//
//	ask     tm.v1.<participant>.<operation>, if it asks at all
//	serve   tm.v1.adapter.<scheme>.>, of its own schemes, and the discovery
//	        subjects of a micro service named ServiceName(scheme)
//	answer  once, within a minute, whatever it was asked
//	hear    _INBOX_<participant>.> and tm.v1.event.<participant>.>
//	replay  its own stream EVT_<participant>: the durable pull consumer
//	        EventConsumer, and single messages by sequence
//
// and nothing else. A participant may not create consumers: a push consumer
// delivers to any subject of the account, with the server's rights.
//
// What the permissions of a server cannot hold: whoever may send a request may
// name any reply subject in it, and the answer goes there with the rights of
// whoever answers. The switch therefore answers only where AnswersTo allows, and
// takes an answer of an adapter only for the payment that it asked about.
package bus
