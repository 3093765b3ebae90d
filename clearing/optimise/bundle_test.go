package optimise

import (
	"reflect"
	"testing"

	"github.com/tongma/tongma"
	"pgregory.net/rapid"
)

// TestBundlesOfOneFlowAreBechSoramaki compares the two on random queues.
func TestBundlesOfOneFlowAreBechSoramaki(t *testing.T) {
	names := []tongma.ParticipantID{"a", "b", "c", "d", "e"}
	rapid.Check(t, func(t *rapid.T) {
		q := Queue{Currency: tongma.CNY}
		for _, n := range names {
			q.Balances = append(q.Balances, Balance{n, rapid.Int64Range(0, 30).Draw(t, "balance")})
		}
		for range rapid.IntRange(0, 40).Draw(t, "items") {
			from, to := rapid.IntRange(0, 4).Draw(t, "from"), rapid.IntRange(1, 4).Draw(t, "to")
			q.Items = append(q.Items, Item{names[from], names[(from+to)%5], rapid.Int64Range(1, 20).Draw(t, "minor"), Priority(rapid.IntRange(0, 2).Draw(t, "priority"))})
		}
		b := Bundles{Currency: q.Currency, Balances: q.Balances}
		for _, it := range q.Items {
			b.Items = append(b.Items, Bundle{it.Debtor, []Flow{{it.Debtor, it.Creditor, it.Minor}}, it.Priority})
		}
		want, err := BechSoramaki(q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := LeaveOut(b)
		if err != nil || len(got.Short) > 0 || !reflect.DeepEqual(got.Settled, want.Settled) || !reflect.DeepEqual(got.Left, want.Left) ||
			!reflect.DeepEqual(got.Balances, want.Balances) || got.Value != want.Value || got.Gross != want.Gross {
			t.Fatalf("%v\n%+v\n%+v", err, got, want)
		}
	})
}

// TestBundlesWithFeesStayCovered: whatever fees the bundles carry, nobody ends
// below zero who is not named as short, and sums are kept.
func TestBundlesWithFeesStayCovered(t *testing.T) {
	names := []tongma.ParticipantID{"a", "b", "c", "switch"}
	rapid.Check(t, func(t *rapid.T) {
		q, all := Bundles{Currency: tongma.CNY}, int64(0)
		for _, n := range names {
			b := rapid.Int64Range(0, 30).Draw(t, "balance")
			q.Balances, all = append(q.Balances, Balance{n, b}), all+b
		}
		for range rapid.IntRange(0, 30).Draw(t, "items") {
			from := rapid.IntRange(0, 2).Draw(t, "from")
			to := (from + rapid.IntRange(1, 2).Draw(t, "to")) % 3
			item := Bundle{Payer: names[from], Flows: []Flow{{names[from], names[to], rapid.Int64Range(5, 20).Draw(t, "minor")}}}
			if fee := rapid.Int64Range(0, 4).Draw(t, "fee"); fee > 0 {
				item.Flows = append(item.Flows, Flow{names[to], "switch", fee})
			}
			if rapid.IntRange(0, 9).Draw(t, "fixed") == 0 {
				item.Payer = ""
			}
			q.Items = append(q.Items, item)
		}
		r, err := LeaveOut(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range r.Balances {
			all -= b.Minor
			short := false
			for _, s := range r.Short {
				short = short || (s.Participant == b.Participant && s.Minor == -b.Minor)
			}
			if b.Minor < 0 && !short {
				t.Fatalf("%v is below zero", b)
			}
		}
		if all != 0 || len(r.Settled)+len(r.Left) != len(q.Items) {
			t.Fatalf("%+v", r)
		}
	})
}

func TestBundlesThatCannotBeLeftOutAreSaidToBeShort(t *testing.T) {
	q := Bundles{Currency: tongma.CNY, Items: []Bundle{
		{Payer: "", Flows: []Flow{{"a", "fund", 10}}}, // what a owes for an earlier cover
		{Payer: "a", Flows: []Flow{{"a", "b", 5}}},
		{Payer: "b", Flows: []Flow{{"b", "a", 4}}},
	}}
	r, err := LeaveOut(q)
	if err != nil || !reflect.DeepEqual(r.Left, []int{1, 2}) || !reflect.DeepEqual(r.Short, []Balance{{"a", 10}}) {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := LeaveOut(Bundles{Currency: tongma.CNY, Items: []Bundle{{Flows: []Flow{{"a", "", 1}}}}}); tongma.ReasonOf(err) != tongma.FieldInvalid {
		t.Error(err)
	}
}
