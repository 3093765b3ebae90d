package schemes

import (
	"testing"
	"time"

	tongma "github.com/tongma/tongma"
)

func TestDisputeRulesAndTheirDeadlines(t *testing.T) {
	d := marketed(t)
	r, ok := d.Disputes()
	want := DisputeRules{Calendar: "thb-th", Days: map[DisputeStep]int{StepAnswer: 5, StepPreArbitration: 3, StepArbitration: 4, StepRuling: 10},
		MaxAge: 120 * 24 * time.Hour, Reasons: []DisputeReason{{"4834-D", "Paid twice"}, {"not-received", "Goods or services were not received"}}}
	if !ok || asJSON(t, r) != asJSON(t, want) {
		t.Fatalf("%+v", r)
	}
	if reason, ok := r.Reason("not-received"); !ok || reason.Title != "Goods or services were not received" {
		t.Errorf("%+v", reason)
	}
	if _, ok := r.Reason("not"); ok {
		t.Error("a reason was made up")
	}
	// Friday; the Water Days are from Monday to Wednesday.
	from := time.Date(2026, 4, 10, 3, 0, 0, 0, time.UTC).UnixMilli()
	for step, want := range map[DisputeStep]string{StepAnswer: "2026-04-22", StepPreArbitration: "2026-04-20", StepArbitration: "2026-04-21", StepRuling: "2026-04-29"} {
		got, err := d.DisputeDeadline(step, from)
		if s := time.UnixMilli(got).UTC().Format(time.RFC3339Nano); err != nil || s != want+"T16:59:59.999Z" {
			t.Errorf("step %d: %s (%v), want %s", step, s, err, want)
		}
	}
	for _, c := range []struct {
		d    *Directory
		step DisputeStep
		from int64
	}{
		{d, 0, from}, {d, StepAnswer, time.Date(2027, 12, 30, 0, 0, 0, 0, time.UTC).UnixMilli()}, {sandboxed(t), StepAnswer + 90, from},
	} {
		if at, err := c.d.DisputeDeadline(c.step, c.from); at != 0 || tongma.ReasonOf(err) != tongma.CalendarUnknown {
			t.Errorf("%d, %v", at, err)
		}
	}
}

func TestFaultsOfDisputes(t *testing.T) {
	const twice = "{code: 4834-D, title: Paid twice}"
	eachFault(t, []fault{
		{"answer_days: 5", "anwser_days: 5", "", tongma.FieldUnknown, "/disputes/anwser_days: no such key; did you mean answer_days?"},
		{"  ruling_days: 10\n", "", "  calendar: thb-th\n  answer", tongma.FieldMissing, "/disputes/ruling_days: is missing"},
		{"answer_days: 5", "answer_days: 0", "", tongma.FieldInvalid, "/disputes/answer_days: must be a whole number from 1 to 250"},
		{"answer_days: 5", "answer_days: 5d", "", tongma.FieldInvalid, "/disputes/answer_days: must be a whole number from 1 to 250"},
		{"max_age_days: 120", "max_age_days: 1e9", "", tongma.FieldInvalid, "/disputes/max_age_days: must be a whole number from 1 to 3660"},
		{"  calendar: thb-th", "  calendar: thb-ht", "", tongma.CalendarUnknown, "/disputes/calendar: there is no such calendar in section calendar; did you mean thb-th?"},
		{twice, "{code: paid twice, title: Paid twice}", "", tongma.FieldInvalid, "/disputes/reasons/1/code: must be 1 to 32 letters, digits and hyphens"},
		{twice, "{code: not-received, title: Paid twice}", "", tongma.FieldInvalid, "/disputes/reasons/1/code: this code was given before"},
		{twice, "{code: twice}", "", tongma.FieldMissing, "/disputes/reasons/1/title: is missing"},
		{"  reasons:\n    - {code: not-received, title: Goods or services were not received}\n    - " + twice, "  reasons: []", "", tongma.FieldInvalid, "/disputes/reasons: is empty; without a reason nothing can be disputed"},
	})
}
