// Package bus is the NATS side of the switch: the embedded server with its
// accounts and permissions, and the connections to it or to a cluster elsewhere.
//
// There are two accounts. JOURNAL belongs to switches alone: the user of the one
// that embeds the server exists in memory only and may connect only from within;
// another switch gets in, to stand by, if it is named as a Peer. TONGMA carries
// requests, answers and events; each participant is one NKey user in it, and may
//
//	ask     tm.v1.<participant>.<operation>, if it asks at all
//	serve   tm.v1.adapter.<scheme>.>, of its own schemes, and the discovery
//	        subjects of a micro service named ServiceName(scheme)
//	answer  once, within a minute, whatever it was asked
//	hear    _INBOX_<participant>.> and tm.v1.event.<participant>.>
//	replay  its own stream EVT_<participant>: by the durable pull consumer
//	        EventConsumer, by consumers of its own, and single messages
//
// and nothing else.
//
// What permissions cannot hold: whoever may send a request may name any reply
// subject in it, and the answer goes there with the rights of whoever answers. So
// a participant must find nobody who answers for it with words of its choosing:
//
//   - A consumer can be made to deliver to any subject, but what it delivers keeps
//     the event's subject, and is nobody's request. A direct get would hand out a
//     stored body under the reply's subject: it is not allowed. The rest of the
//     JetStream API answers in JSON of its own, which is no Request.
//   - The switch takes who asks from the subject of the message that came, not
//     from that of its subscription.
//   - The switch answers only where AnswersTo allows.
//   - The switch takes an adapter's answer only for the payment that it asked
//     about, and gives no event the shape of an Answer.
package bus
