package tongma

// NATS subjects. The first token behind the version is who speaks: a
// participant's NKey user may publish only under its own name, so a subject says
// who sent a message, and the body need not be believed.
//
//	tm.v1.<participant>.<operation>      acquirer or wallet → switch
//	tm.v1.adapter.<scheme>.<operation>   switch → scheme's adapter
//	tm.v1.adapter.<dealer>.quote         switch → a participant who exchanges currencies
//	tm.v1.event.<participant>.<type>     switch → participant, replayable
const subjectPrefix = "tm.v1."

// Header names on NATS messages.
const (
	HeaderKey    = "Idempotency-Key"
	HeaderReplay = "Idempotency-Replayed" // "true" on an answer given before
)

// Subject returns where a participant asks the switch for an operation.
func Subject(p ParticipantID, op Operation) string {
	return subjectPrefix + string(p) + "." + op.String()
}

// AdapterSubject returns where the switch asks a scheme's adapter.
func AdapterSubject(s SchemeID, op Operation) string {
	return subjectPrefix + "adapter." + string(s) + "." + op.String()
}

// DealerSubject returns where the switch asks a dealer for a quote.
func DealerSubject(p ParticipantID) string { return AdapterSubject(SchemeID(p), OpQuote) }

// EventSubject returns where a participant hears of an event, such as
// "payment.ended". The type "*" is not special: use ">" for all.
func EventSubject(p ParticipantID, eventType string) string {
	return subjectPrefix + "event." + string(p) + "." + eventType
}

// EventStream returns the name of the JetStream stream that keeps a
// participant's events.
func EventStream(p ParticipantID) string { return "EVT_" + string(p) }

// InboxPrefix returns the only inbox that a participant may listen on.
func InboxPrefix(p ParticipantID) string { return "_INBOX_" + string(p) }

// reservedNames are second tokens with a meaning of their own.
var reservedNames = map[string]bool{"adapter": true, "event": true, "switch": true, "journal": true, "console": true}
