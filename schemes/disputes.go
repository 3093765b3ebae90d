package schemes

import (
	"slices"
	"strings"
	"time"

	tongma "github.com/tongma/tongma"
	"go.yaml.in/yaml/v3"
)

// DisputeStep is what a party of a dispute has a deadline for. The zero DisputeStep
// is none.
type DisputeStep uint8

const (
	StepAnswer         DisputeStep = 1 // the network that was paid: accept, or say why not
	StepPreArbitration DisputeStep = 2 // the one that raised the dispute: insist, or give in
	StepArbitration    DisputeStep = 3 // the network that was paid: have it ruled on, or give in
	StepRuling         DisputeStep = 4 // the operator: rule. Nobody gives in if it is late
)

// DisputeRules say what may be disputed, for which reasons, and how much time
// everybody has.
type DisputeRules struct {
	Calendar string              // in whose business days and zone deadlines are counted
	Days     map[DisputeStep]int // business days for each step
	MaxAge   time.Duration       // of a payment, from its posting to the dispute about it
	Reasons  []DisputeReason     // by code
}

// DisputeReason is why a payment may be disputed.
type DisputeReason struct {
	Code  string // up to 32 letters, digits and hyphens
	Title string
}

// Reason finds a reason by its code.
func (r *DisputeRules) Reason(code string) (DisputeReason, bool) {
	i, ok := slices.BinarySearchFunc(r.Reasons, code, func(have DisputeReason, code string) int { return strings.Compare(have.Code, code) })
	if !ok {
		return DisputeReason{}, false
	}
	return r.Reasons[i], true
}

// Disputes returns the rules of disputes. There are none if the directory has no
// section on them: then nothing can be disputed.
func (d *Directory) Disputes() (*DisputeRules, bool) { return d.disputeRules, d.disputeRules != nil }

// DisputeDeadline returns when the time for a step is over that begins at an instant
// (both in Unix ms): at the end of the last of its business days, by the version of
// the calendar that is in force at the beginning. The moment returned is still in
// time. CalendarUnknown: there are no rules, or the calendar does not reach that far.
func (d *Directory) DisputeDeadline(step DisputeStep, fromMillis int64) (int64, error) {
	failed := func(err error) (int64, error) {
		return 0, &tongma.Error{Op: "directory: dispute deadline", Reason: tongma.CalendarUnknown, Err: err}
	}
	days, ok := 0, false
	if d.disputeRules != nil {
		days, ok = d.disputeRules.Days[step]
	}
	if !ok {
		return failed(nil)
	}
	from := time.UnixMilli(fromMillis)
	c, err := d.calendars.Calendar(d.disputeRules.Calendar, from)
	if err != nil {
		return failed(err)
	}
	end, err := c.Deadline(from, days)
	if err != nil {
		return failed(err)
	}
	return end.UnixMilli(), nil
}

const (
	maxStepDays = 250
	maxAgeDays  = 3660
	maxReasons  = 500
)

func (p *parser) disputes(n *yaml.Node, path string) *DisputeRules {
	r := &DisputeRules{Days: make(map[DisputeStep]int)}
	days := func(name string, step DisputeStep) field {
		return field{name, true, func(n *yaml.Node, path string) { r.Days[step] = p.number(n, path, 1, maxStepDays) }}
	}
	p.mapping(n, path, []field{
		{"calendar", true, func(n *yaml.Node, path string) { r.Calendar, _ = p.text(n, path, 64) }},
		days("answer_days", StepAnswer),
		days("pre_arbitration_days", StepPreArbitration),
		days("arbitration_days", StepArbitration),
		days("ruling_days", StepRuling),
		{"max_age_days", true, func(n *yaml.Node, path string) {
			r.MaxAge = time.Duration(p.number(n, path, 1, maxAgeDays)) * 24 * time.Hour
		}},
		{"reasons", true, func(n *yaml.Node, path string) {
			p.list(n, path, maxReasons, func(item *yaml.Node, at string) { r.Reasons = append(r.Reasons, p.disputeReason(item, at)) })
			if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
				p.invalid(path, "is empty; without a reason nothing can be disputed")
			}
		}},
	})
	return r
}

func (p *parser) disputeReason(n *yaml.Node, path string) DisputeReason {
	var r DisputeReason
	p.mapping(n, path, []field{
		{"code", true, func(n *yaml.Node, path string) {
			s, ok := p.text(n, path, 64)
			if r.Code = s; ok && !validCode(s) {
				p.invalid(path, "must be 1 to 32 letters, digits and hyphens")
			}
		}},
		{"title", true, func(n *yaml.Node, path string) { r.Title = p.line(n, path, 120) }},
	})
	return r
}

func validCode(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

func (p *parser) linkDisputes(d *Directory) {
	r := d.disputeRules
	if r == nil {
		return
	}
	if d.calendars == nil || len(d.calendars.Versions(r.Calendar)) == 0 {
		var known []string
		if d.calendars != nil {
			known = d.calendars.Calendars()
		}
		p.fail("/disputes/calendar", tongma.CalendarUnknown, nearest(r.Calendar, known), "there is no such calendar in section calendar")
	}
	seen := make(map[string]bool)
	for i, reason := range r.Reasons {
		once(p, seen, reason.Code, true, item("disputes/reasons", i)+"/code", "this code")
	}
	slices.SortFunc(r.Reasons, func(a, b DisputeReason) int { return strings.Compare(a.Code, b.Code) })
}
