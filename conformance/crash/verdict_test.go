package crash_test

import (
	"bytes"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/conformance/crash"
)

// verdict is what the tills' memory and the journal say of each other.
type verdict struct {
	payments int // keys that were used
	approved int // keys whose asker heard a yes
	lost     int // heard a yes, and the journal has none
	doubled  int // two payments for one key, or posted twice
	changed  int // two final answers to one key that differ without a reversal
}

// judge compares everything that askers were told with the journal.
func judge(t *testing.T, m *market, b *crash.Books) (v verdict) {
	t.Helper()
	for _, o := range m.all() {
		v.payments++
		p := b.Keys[[2]string{string(o.asker), o.key}]
		judgeAnswers(t, o, &v)
		saidYes := false
		for _, a := range o.heard {
			saidYes = saidYes || a.status == tongma.Paid
			switch {
			case p == nil || p.First.Payment != a.payment.String():
				t.Errorf("%s %s over %s was answered as payment %s, which the journal does not have under that key", o.asker, o.key, o.door, a.payment)
				v.doubled++
			case a.status == tongma.Paid && !a.undoing && p.Posts != 1:
				t.Errorf("%s %s over %s was told approved, and is posted %d times", o.asker, o.key, o.door, p.Posts)
				v.lost++
			case a.status == tongma.Paid && !o.undoing && p.Phase != "post":
				t.Errorf("%s %s over %s was told approved, and the journal says %s (%s) without our having reversed it", o.asker, o.key, o.door, p.Phase, p.Reason)
				v.lost++
			case a.status == tongma.Paid && p.First.Minor != o.request.Amount.Minor:
				t.Errorf("%s %s: approved %d, posted %d", o.asker, o.key, o.request.Amount.Minor, p.First.Minor)
				v.lost++
			}
		}
		if saidYes {
			v.approved++
		}
		if p == nil {
			continue
		}
		if p.Posts > 1 {
			t.Errorf("%s %s is posted %d times", o.asker, o.key, p.Posts)
			v.doubled++
		}
		if o.undone && p.Phase == "post" {
			t.Errorf("%s %s over %s: its reversal was acknowledged, and it is posted", o.asker, o.key, o.door)
			v.doubled++
		}
	}
	return v
}

// judgeAnswers checks that the final answers to one key are the same bytes, but
// for a reversal of ours in between.
func judgeAnswers(t *testing.T, o *order, v *verdict) {
	t.Helper()
	for i := 1; i < len(o.heard); i++ {
		was, is := o.heard[i-1], o.heard[i]
		if bytes.Equal(was.raw, is.raw) || (is.undoing && was.status == tongma.Paid) || (is.undoing && !was.undoing) {
			continue
		}
		t.Errorf("%s %s over %s was answered in two ways:\n%q\n%q", o.asker, o.key, o.door, was.raw, is.raw)
		v.changed++
	}
}
