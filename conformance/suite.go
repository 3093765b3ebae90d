package conformance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tongma/tongma"
)

// Door is where a case knocks.
type Door string

const (
	DoorCode    Door = "code"    // a barcode, shown at every door that takes it
	DoorISO8583 Door = "iso8583" // an acquirer's TCP link
	DoorHTTP    Door = "http"
	DoorNATS    Door = "nats"
)

// Manner is how a door refuses. The zero Manner is an answer that says why.
type Manner string

const (
	Answered   Manner = ""
	Closed     Manner = "closed"     // the link is closed without a word
	Denied     Manner = "denied"     // the server's permissions forbid it
	Unanswered Manner = "unanswered" // nothing comes back, and nothing is due
)

// Observation is what came of something, and what must come of it. What a door
// has no word for stays zero.
type Observation struct {
	Reason tongma.Reason
	Money  string // "not_executed", "executed" or "unknown"; "" if the door does not say
	HTTP   int    // status
	DE39   string // ISO 8583 response code
	Manner Manner
}

// String reads "TM-1003 code-checksum, not_executed, HTTP 200, DE39 14".
func (o Observation) String() string {
	if o.Manner != Answered {
		return string(o.Manner)
	}
	s := o.Reason.Code() + " " + o.Reason.String()
	if o.Money != "" {
		s += ", " + o.Money
	}
	if o.HTTP != 0 {
		s += fmt.Sprintf(", HTTP %d", o.HTTP)
	}
	if o.DE39 != "" {
		s += ", DE39 " + o.DE39
	}
	return s
}

// Prior is what went before a case: a payment that it abuses. Run sees to it that
// a pending one is reversed in the end.
type Prior struct {
	Payment string // id
	Key     string
	Code    string
	Pending bool
}

// Case is one thing that somebody does wrong, and what must come of it.
type Case struct {
	ID    string // stable, never used again for something else: "BAD-014"
	Door  Door
	Topic string // what it is about: cases of one topic stand together
	Title string // one sentence, without a full stop

	// Prepare makes what the case needs, and may move positions. Nil: nothing.
	Prepare func(ctx context.Context, t *Target) (Prior, error)
	// Do does the wrong thing and tells what came of it. An error is a fault of
	// the door too, unless ctx has ended.
	Do   func(ctx context.Context, t *Target, before Prior) (Observation, error)
	Want Observation
}

// Suite is a named list of cases.
type Suite struct {
	Name  string
	Cases []Case
}

// Verdict is what became of one case.
type Verdict struct {
	ID     string   `json:"id"`
	Door   Door     `json:"door"`
	Topic  string   `json:"topic,omitempty"`
	Title  string   `json:"title"`
	Pass   bool     `json:"pass"`
	Want   string   `json:"want"`
	Got    string   `json:"got"`
	Faults []string `json:"faults,omitempty"` // what was wrong, each in one sentence
	TookMS int64    `json:"took_ms"`
}

// Report is what became of a suite. Its JSON is stable.
type Report struct {
	Suite  string    `json:"suite"`
	Passed int       `json:"passed"`
	Failed int       `json:"failed"`
	Cases  []Verdict `json:"cases"`
}

// JSON returns the report as indented JSON with a newline at the end.
func (r *Report) JSON() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(r) // strings and numbers only: cannot fail
	return b.Bytes()
}

// caseWithin bounds one case: the longest waits out a half frame.
const caseWithin = 45 * time.Second

// Table returns the cases as Markdown, one table for each topic.
func (s Suite) Table() string {
	var b strings.Builder
	topic := ""
	for i := range s.Cases {
		c := &s.Cases[i]
		if c.Topic != topic {
			topic = c.Topic
			fmt.Fprintf(&b, "\n### %s\n\n| id | door | what somebody does | what must come of it |\n|---|---|---|---|\n", topic)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.ID, c.Door, c.Title, c.Want)
	}
	return b.String()
}

// Run runs the cases one after the other, since each looks at the positions
// before and after. Nothing else may move money meanwhile.
func (s Suite) Run(ctx context.Context, t *Target) Report {
	r := Report{Suite: s.Name, Cases: make([]Verdict, 0, len(s.Cases))}
	for i := range s.Cases {
		v := s.Cases[i].run(ctx, t)
		if v.Pass {
			r.Passed++
		} else {
			r.Failed++
		}
		r.Cases = append(r.Cases, v)
	}
	return r
}

func (c *Case) run(ctx context.Context, t *Target) Verdict {
	ctx, cancel := context.WithTimeout(ctx, caseWithin)
	defer cancel()
	start := time.Now()
	v := Verdict{ID: c.ID, Door: c.Door, Topic: c.Topic, Title: c.Title, Want: c.Want.String()}
	var before Prior
	var err error
	if c.Prepare != nil {
		if before, err = c.Prepare(ctx, t); err != nil {
			v.fault("it could not be prepared: %v", err)
			return v
		}
	}
	c.judge(ctx, t, before, &v)
	if before.Pending {
		if err := t.undo(ctx, before.Payment); err != nil {
			v.fault("the pending payment could not be reversed: %v", err)
		}
	}
	v.Pass, v.TookMS = len(v.Faults) == 0, time.Since(start).Milliseconds()
	return v
}

// judge does the case between two looks at the books.
func (c *Case) judge(ctx context.Context, t *Target, before Prior, v *Verdict) {
	first, err := t.look(ctx)
	if err != nil {
		v.fault("the books cannot be read before: %v", err)
		return
	}
	got, err := c.Do(ctx, t, before)
	v.Got = got.String()
	if err != nil {
		v.fault("%v", err)
	} else {
		c.compare(got, v)
	}
	second, err := t.look(ctx)
	switch {
	case err != nil:
		v.fault("the books cannot be read afterwards: %v", err)
	case !bytes.Equal(first.positions, second.positions):
		v.fault("a position or a hold moved")
	case c.Want.Manner != Answered && first.entries != second.entries:
		v.fault("the journal grew from %d to %d entries: the switch has acted on it", first.entries, second.entries)
	}
	if err := t.alive(ctx); err != nil {
		v.fault("the switch is not alive: %v", err)
	}
}

// compare reports each way in which got is not what is wanted. A door that says
// nothing of the money, or has no status, is not asked for it.
func (c *Case) compare(got Observation, v *Verdict) {
	want := c.Want
	for _, f := range [...]struct {
		what      string
		got, want any
		skip      bool
	}{
		{"manner", cmp.Or(got.Manner, "answered"), cmp.Or(want.Manner, "answered"), false},
		{"reason", got.Reason.String(), want.Reason.String(), want.Manner != Answered},
		{"what it says of the money", got.Money, want.Money, got.Money == "" && got.DE39 != ""},
		{"HTTP status", got.HTTP, want.HTTP, want.HTTP == 0},
		{"DE39", got.DE39, want.DE39, want.DE39 == ""},
	} {
		if !f.skip && f.got != f.want {
			v.fault("%s is %v, want %v", f.what, f.got, f.want)
		}
	}
}

func (v *Verdict) fault(format string, args ...any) {
	v.Pass = false
	v.Faults = append(v.Faults, fmt.Sprintf(format, args...))
}

// refused is what must come of what is answered with a problem: nothing was
// executed, and the statuses are those of the catalogue.
func refused(r tongma.Reason) Observation {
	info := r.Info()
	return Observation{Reason: r, Money: info.Money.String(), HTTP: info.HTTP, DE39: info.DE39}
}

// declined is what must come of a payment that is written down as declined: over
// HTTP that is a good answer to a good question.
func declined(r tongma.Reason) Observation {
	o := refused(r)
	o.HTTP = 200
	return o
}

// over leaves of what must come only what one door can say.
func (o Observation) over(d Door) Observation {
	if d != DoorISO8583 {
		o.DE39 = ""
	}
	if d != DoorHTTP {
		o.HTTP = 0
	}
	if d == DoorISO8583 {
		o.Money = ""
	}
	return o
}

// silently is what must come of what gets no answer.
func silently(m Manner) Observation { return Observation{Manner: m} }
