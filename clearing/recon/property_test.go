package recon

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tongma/tongma"
)

// world draws a few payments and a file about them that is mostly right, so that
// every kind of difference comes up often.
func world(t *rapid.T) Input {
	in := Input{Window: 12, AsOf: noon, Cycles: []Cycle{{Window: 11, Date: 20261121}, {Window: 12, Date: 20261122, Closed: noon}},
		Fee: func(_ tongma.ParticipantID, it *Item) (tongma.Money, bool) { return cny(it.Amount.Minor % 3), true }}
	small := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
	for n := range small("items", 7) {
		it := paid(n+1, int64(100+small("amount", 3)), tongma.WindowID(11+small("window", 3)))
		if small("ref", 4) == 0 {
			it.SchemeRef = "S"
		}
		switch small("state", 6) {
		case 0:
			it.Posted, it.Status = 0, []tongma.Status{tongma.Pending, tongma.Refused, tongma.ReversedBack}[small("status", 3)]
		case 1:
			it.Status, it.Reversed = tongma.ReversedBack, it.Posted+tongma.WindowID(small("later", 2))
		case 2:
			it.Op, it.Debtor, it.Creditor = tongma.OpRefund, it.Creditor, it.Debtor
		case 3:
			it.Debtor = "orchid"
		}
		in.Items = append(in.Items, it)
	}
	f := File{Sender: "lotus", Covers: []tongma.ParticipantID{"lotus", "orchid"}, Hash: hash("a")}
	for i := range small("rows", 9) {
		row := Row{Line: int32(i + 2), Kind: RowKind(1 + small("kind", 4)), Status: tongma.Status(small("row status", 4)), Participant: "lotus",
			Amount: cny(int64(100 + small("row amount", 3))), Window: tongma.WindowID(small("row window", 2) * 12)}
		if n := small("who", 8); n > 0 && len(in.Items) > 0 {
			it := in.Items[n%len(in.Items)]
			row.Payment, row.SchemeRef, row.Amount, row.Participant = it.Payment, it.SchemeRef, it.Amount, it.Debtor
			if small("good", 3) > 0 {
				row.Kind, row.Status = RowPay, tongma.Paid
			}
		}
		switch small("spoil", 8) {
		case 0:
			row.Payment = tongma.PaymentID{}
		case 1:
			row.Amount.Minor++
		case 2:
			row.Amount.Currency = tongma.HKD
		case 3:
			row.Participant = "fern"
		case 4:
			row.Window, row.Date = 0, 20261121
		case 5:
			row.HasFee, row.Fee = true, 1
		}
		if row.Payment.IsZero() && row.SchemeRef == "" {
			row.SchemeRef = fmt.Sprint("U", small("stranger", 2))
		}
		f.Rows = append(f.Rows, row)
	}
	in.Files = []File{f}
	for n := range small("legs", 4) {
		in.Legs = append(in.Legs, leg(fmt.Sprint("I", n), "lotus", n%2 == 0, int64(100+small("net", 3))))
	}
	s := Statement{Account: "settlement", Opening: cny(1000), Closing: cny(1100)}
	for n := range small("entries", 6) {
		e := credit(fmt.Sprint("B", small("bank ref", 4)), fmt.Sprint("I", small("end to end", 4)), int64(100+small("paid", 3)))
		e.Debit = n%2 == 1
		s.Entries = append(s.Entries, e)
	}
	for n := range small("statements", 3) {
		s.Hash = hash(fmt.Sprint(n))
		in.Statements = append(in.Statements, s)
		s.Entries = s.Entries[len(s.Entries)/2:]
	}
	return in
}

// withoutPlaces is a result as text, but for the lines on which things stood.
func withoutPlaces(t testing.TB, res Result) string {
	res.Breaks = slices.Clone(res.Breaks)
	for i := range res.Breaks {
		res.Breaks[i].Source.Line = 0
	}
	text, err := json.MarshalIndent(res, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheOrderOfRowsChangesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := world(rt)
		before := withoutPlaces(t, run1(t, in))
		r := rand.New(rand.NewSource(rapid.Int64().Draw(rt, "seed")))
		shuffle := func(n int, swap func(i, j int)) { r.Shuffle(n, swap) }
		items, rows, legs := slices.Clone(in.Items), slices.Clone(in.Files[0].Rows), slices.Clone(in.Legs)
		shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		shuffle(len(legs), func(i, j int) { legs[i], legs[j] = legs[j], legs[i] })
		for i := range rows {
			rows[i].Line = int32(i + 2)
		}
		in.Items, in.Legs, in.Files = items, legs, []File{{Sender: "lotus", Covers: []tongma.ParticipantID{"orchid", "lotus"}, Hash: hash("a"), Rows: rows}}
		statements := slices.Clone(in.Statements)
		for k := range statements {
			entries := slices.Clone(statements[k].Entries)
			shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
			statements[k].Entries = entries
		}
		shuffle(len(statements), func(i, j int) { statements[i], statements[j] = statements[j], statements[i] })
		in.Statements = statements
		if after := withoutPlaces(t, run1(t, in)); after != before {
			rt.Fatalf("before\n%s\nafter\n%s", before, after)
		}
	})
}

// TestNothingIsLostBetweenTheSides holds that on every side the parts come to what
// a plain look at the input counts, and that what is neither matched nor differing
// on one side has its break.
func TestNothingIsLostBetweenTheSides(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := world(rt)
		res := run1(t, in) // which checks that parts come to totals
		want := map[string]Sum{}
		add := func(key string, m tongma.Money) {
			key += " " + m.Currency.Code()
			want[key] = Sum{want[key].Count + 1, want[key].Minor + m.Minor}
		}
		for _, it := range in.Items {
			for _, p := range []tongma.ParticipantID{"lotus", "orchid"} {
				if it.Debtor != p && it.Creditor != p {
					continue
				}
				if it.Posted == 12 {
					add("journal "+string(p), it.Amount)
				}
				if it.Reversed == 12 {
					add("journal "+string(p), it.Amount)
				}
			}
		}
		for _, row := range in.Files[0].Rows {
			add("file "+string(row.Participant), row.Amount)
		}
		for _, l := range in.Legs {
			add("instructions ", l.Amount)
		}
		got, alone := map[string]Sum{}, map[Book]int64{}
		for _, a := range res.Tallies {
			if a.Book != BookStatement { // copies of entries are counted once
				got[string(a.Book)+" "+string(a.Participant)+" "+a.Currency] = a.Total
			}
			alone[a.Book] += a.Alone.Count
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("got %v\nwant %v", got, want)
		}
		kinds := map[Kind]int64{}
		for _, b := range res.Breaks {
			kinds[b.Kind]++
		}
		var duplicates, unknown int64
		for _, a := range res.Tallies {
			duplicates, unknown = duplicates+a.Duplicate.Count, unknown+a.Unknown.Count
		}
		for kind, n := range map[Kind]int64{MissingAtScheme: alone[BookJournal], MissingAtSwitch: alone[BookFile], UnexpectedEntry: alone[BookStatement],
			Duplicate: duplicates, UnknownParticipant: unknown} {
			if kinds[kind] != n {
				rt.Fatalf("%d breaks of kind %s for %d that stand alone", kinds[kind], kind, n)
			}
		}
	})
}

// TestMatchingAgreesWithANaiveOracle compares the number of perfectly matched
// rows with a loop over all pairs that knows nothing of indexes: files whose rows
// have payment ids, one row a payment.
func TestMatchingAgreesWithANaiveOracle(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := world(rt)
		in.Legs, in.Statements, in.Fee = nil, nil, nil
		seen := map[tongma.PaymentID]bool{}
		in.Files[0].Rows = slices.DeleteFunc(in.Files[0].Rows, func(r Row) bool {
			twice := seen[r.Payment]
			seen[r.Payment] = true
			return twice || r.Payment.IsZero() || r.Status != tongma.Paid || r.Kind == RowReversal || (r.Participant != "lotus" && r.Participant != "orchid")
		})
		var want Sum
		for _, r := range in.Files[0].Rows {
			for _, it := range in.Items {
				theirs := it.Debtor == r.Participant || it.Creditor == r.Participant
				when := (r.Window == 0 || r.Window == 12) && (r.Date == 0 || r.Date == 20261122)
				if it.Payment == r.Payment && theirs && it.Posted == 12 && when && it.Amount == r.Amount && it.Op.String() == r.Kind.String() {
					want = Sum{want.Count + 1, want.Minor + r.Amount.Minor}
				}
			}
		}
		var got Sum
		for _, a := range run1(t, in).Tallies {
			if a.Book == BookFile {
				got = Sum{got.Count + a.Matched.Count, got.Minor + a.Matched.Minor}
			}
		}
		if got != want {
			rt.Fatalf("matched %v, the oracle says %v", got, want)
		}
	})
}
