package tongma

import (
	"encoding/json"
)

// Resolution is what the switch says of a merchant's code before anything is
// paid: who could take the money, ranked, what the code itself says, and in which
// amount the payer would pay it. It moves no money and reserves nothing.
type Resolution struct {
	Candidates []Candidate `json:"candidates"` // best first; empty if Reason says why
	Directory  uint64      `json:"directory"`  // version of the directory that was asked
	Merchant   Merchant    `json:"-"`
	Amount     Money       `json:"amount,omitzero"` // fixed by the code; none if the payer enters it
	// Exchange is what the payer would pay, if that is in another currency, by a quote
	// that is kept for the asker until its end: Transfer names it.
	Exchange Exchange `json:"exchange,omitzero"`
	Reason   Reason   `json:"-"`
	Detail   string   `json:"detail,omitempty"`
}

// Candidate is one way in which a code can be paid.
type Candidate struct {
	Scheme      SchemeID      `json:"scheme"`
	Participant ParticipantID `json:"participant"`
	Rule        string        `json:"rule,omitempty"` // directory rule that matched
	Path        string        `json:"path,omitempty"` // where in the code: "26.00", "prefix 77"
}

// resolutionJSON gives a Resolution its names on the wire, as a request and an
// answer have them.
type resolutionJSON struct {
	plainResolution
	Merchant *merchantJSON `json:"merchant,omitempty"`
	Reason   string        `json:"reason,omitempty"`
	Slug     string        `json:"reason_name,omitempty"`
}

type plainResolution Resolution

type merchantJSON struct {
	ID       string `json:"id,omitempty"`
	Name     string `json:"name,omitempty"`
	City     string `json:"city,omitempty"`
	Country  string `json:"country,omitempty"`
	MCC      string `json:"mcc,omitempty"`
	Terminal string `json:"terminal,omitempty"`
}

// AppendJSON appends the resolution as a JSON object.
func (r *Resolution) AppendJSON(b []byte) []byte {
	w := resolutionJSON{plainResolution: plainResolution(*r)}
	if w.Candidates == nil {
		w.Candidates = []Candidate{}
	}
	if r.Merchant != (Merchant{}) {
		m := merchantJSON(r.Merchant)
		w.Merchant = &m
	}
	if r.Reason != NoReason {
		w.Reason, w.Slug = r.Reason.Code(), r.Reason.String()
	}
	text, _ := json.Marshal(&w) // strings and numbers only: cannot fail
	return append(b, text...)
}

// MarshalJSON returns the object of AppendJSON.
func (r *Resolution) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

// ParseResolution reads the object of AppendJSON. Members that it does not know
// are passed over: a newer switch may say more.
func ParseResolution(data []byte) (Resolution, error) {
	var w resolutionJSON
	if len(data) > MaxMessage {
		return Resolution{}, &Error{Op: "resolution", Reason: MessageTooLong}
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return Resolution{}, &Error{Op: "resolution", Reason: MessageMalformed, Detail: "not a resolution"}
	}
	r := Resolution(w.plainResolution)
	if w.Merchant != nil {
		r.Merchant = Merchant(*w.Merchant)
	}
	if w.Reason != "" {
		var known bool
		if r.Reason, known = ParseReason(w.Reason); !known {
			return Resolution{}, &Error{Op: "resolution", Reason: FieldInvalid, Field: "/reason"}
		}
	}
	return r, nil
}
