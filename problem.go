package tongma

import (
	"encoding/json"
	"errors"
)

// ProblemType is what the type of a Problem starts with; the code follows.
const ProblemType = "urn:tongma:error:"

// Problem is an error on the wire: an RFC 9457 document that also says what
// happened to the money, who must act, and whether a retry can help.
type Problem struct {
	Type    string    `json:"type"` // ProblemType and the code
	Title   string    `json:"title"`
	Status  int       `json:"status"` // as HTTP would have it
	Code    string    `json:"code"`   // "TM-2103"
	Reason  string    `json:"reason"` // slug: "issuer-limit"
	Outcome string    `json:"outcome"`
	Act     Actor     `json:"act"`
	Retry   Retry     `json:"retry"`
	Detail  string    `json:"detail,omitempty"` // one clause for people, safe to log
	Field   string    `json:"field,omitempty"`  // JSON pointer
	Offset  int       `json:"offset,omitempty"` // byte offset in what was sent
	Payment PaymentID `json:"payment,omitzero"`
	Next    []string  `json:"next,omitempty"` // what to do or type next, first thing first
}

// ProblemOf describes err. An error of no known reason becomes Internal, and its
// text stays inside: it may hold what the asker must not see.
func ProblemOf(err error) Problem {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Reason: Internal}
	}
	info := e.Reason.Info()
	p := Problem{
		Title: info.Title, Status: info.HTTP, Code: info.Reason.Code(), Reason: info.Slug, Outcome: info.Money.String(),
		Act: info.Act, Retry: info.Retry, Detail: e.Detail, Field: e.Field, Offset: e.Offset,
	}
	p.Type = ProblemType + p.Code
	if info.Advice != "" {
		p.Next = append(p.Next, info.Advice)
	}
	p.Next = append(p.Next, "tongma errors "+p.Code)
	return p
}

// AppendJSON appends the problem as a JSON object.
func (p *Problem) AppendJSON(b []byte) []byte {
	text, _ := json.Marshal(p) // strings and numbers only: cannot fail
	return append(b, text...)
}

// ParseProblem reads a problem. Members that it does not know are passed over.
// A code and an outcome are required.
func ParseProblem(data []byte) (Problem, error) {
	var p Problem
	if len(data) > MaxMessage {
		return p, &Error{Op: "problem", Reason: MessageTooLong}
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return Problem{}, &Error{Op: "problem", Reason: MessageMalformed, Detail: "not a problem document"}
	}
	if p.Code == "" {
		return Problem{}, &Error{Op: "problem", Reason: FieldMissing, Field: "/code"}
	}
	if p.Outcome == "" {
		return Problem{}, &Error{Op: "problem", Reason: FieldMissing, Field: "/outcome"}
	}
	return p, nil
}

// Err returns the error that the problem describes. If the code is not known
// here, or this catalogue is surer than the sender that no money moved, the
// reason is Internal, whose outcome is unknown: of two voices the careful one
// is believed.
func (p *Problem) Err(op string) *Error {
	reason, known := ParseReason(p.Code)
	e := &Error{Op: op, Reason: reason, Field: bounded(p.Field, 128), Offset: p.Offset, Detail: bounded(p.Detail, 256)}
	if !known {
		return &Error{Op: op, Reason: Internal, Detail: bounded(p.Code+": "+p.Title, 256)}
	}
	if reason.Info().Money == NotMoved && p.Outcome != NotMoved.String() {
		return &Error{Op: op, Reason: Internal, Err: e}
	}
	return e
}

func bounded(s string, limit int) string { return s[:min(len(s), limit)] }
