package recon

import (
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

func reversed(it Item, w tongma.WindowID) Item {
	it.Status, it.Reversed = tongma.ReversedBack, w
	return it
}

func unposted(n int, s tongma.Status) Item {
	it := paid(n, 1250, 0)
	it.Status, it.PostedAt = s, 0
	return it
}

// TestEachKindOfBreakAgainstAFile has one row a rule: what the journal has, what
// the file says, and the breaks that this makes.
func TestEachKindOfBreakAgainstAFile(t *testing.T) {
	refund := paid(3, 500, 12)
	refund.Op, refund.Debtor, refund.Creditor = tongma.OpRefund, "harbour", "lotus"
	twin := paid(2, 1250, 12)
	twin.SchemeRef = "S0001"
	foreign := paid(1, 1250, 12)
	foreign.Debtor = "orchid"
	backRef := reversed(paid(1, 1250, 12), 12)
	backRef.ReverseRef = "R0001"
	for _, c := range []struct {
		name  string
		items []Item
		rows  []string
		want  string
	}{
		{"agreed by payment id", []Item{paid(1, 1250, 12)}, []string{"P1,,pay,approved,12.50,CNY,,win_000012,,"}, ""},
		{"agreed by the scheme's reference", []Item{paid(1, 1250, 12)}, []string{",S0001,pay,approved,12.50,CNY,,,2026-11-22,"}, ""},
		{"an unknown payment id falls back to the reference", []Item{paid(1, 1250, 12)}, []string{"P9,S0001,pay,approved,12.50,CNY,,12,,"}, ""},
		{"a refund with its payment's reference is told apart by its kind", []Item{paid(1, 500, 12), func() Item { r := refund; r.SchemeRef = "S0001"; return r }()},
			[]string{",S0001,pay,approved,5.00,CNY,,12,,", ",S0001,refund,approved,5.00,CNY,,12,,"}, ""},
		{"declined on both sides", []Item{unposted(1, tongma.Refused)}, []string{"P1,,pay,declined,12.50,CNY,,12,,"}, ""},
		{"turned back before it was posted, and reported as a reversal", []Item{unposted(1, tongma.ReversedBack)}, []string{"P1,,reversal,approved,12.50,CNY,,12,,"}, ""},
		{"paid and turned back: two rows", []Item{backRef}, []string{"P1,,pay,approved,12.50,CNY,,12,,", ",R0001,reversal,approved,12.50,CNY,,12,,"}, ""},
		{"paid and turned back: one row", []Item{backRef}, []string{"P1,,pay,reversed,12.50,CNY,,12,,"}, ""},
		{"turned back in this window, reported as the payment undone", []Item{reversed(paid(1, 1250, 11), 12)}, []string{"P1,,pay,reversed,12.50,CNY,,12,,"}, ""},
		{"of another window, and not reported", []Item{paid(1, 1250, 11)}, nil, ""},
		{"of other participants", []Item{foreign}, nil, ""},
		{"pending on both sides", []Item{unposted(1, tongma.Pending)}, []string{"P1,,pay,pending,12.50,CNY,,12,,"}, ""},

		{"missing at the scheme", []Item{paid(1, 1250, 12)}, nil,
			"MISSING_AT_SCHEME participant/lotus payment: pay 12.50 CNY, win_000012 <> no row [12.50 CNY]"},
		{"a reversal missing at the scheme", []Item{reversed(paid(1, 1250, 11), 12)}, nil,
			"MISSING_AT_SCHEME participant/lotus reversal: reversal 12.50 CNY, win_000012 <> no row [12.50 CNY]"},
		{"neither payment nor reversal of one window: nothing at risk", []Item{reversed(paid(1, 1250, 12), 12)}, nil,
			"MISSING_AT_SCHEME participant/lotus payment: pay 12.50 CNY, win_000012 <> no row [0.00 CNY]\n" +
				"MISSING_AT_SCHEME participant/lotus reversal: reversal 12.50 CNY, win_000012 <> no row [0.00 CNY]"},
		{"missing at the switch", nil, []string{"P1,,pay,approved,12.50,CNY,,12,,"},
			"MISSING_AT_SWITCH switch/lotus payment: no movement <> approved pay 12.50 CNY, win_000012 [12.50 CNY]"},
		{"unknown here, but nothing moved", nil, []string{"P1,,pay,declined,12.50,CNY,,12,,"},
			"MISSING_AT_SWITCH switch/lotus payment: no movement <> declined pay 12.50 CNY, win_000012 [0.00 CNY]"},
		{"a payment of others is none of theirs", []Item{foreign}, []string{"P1,,pay,approved,12.50,CNY,,12,,"},
			"MISSING_AT_SWITCH switch/lotus payment: no movement <> approved pay 12.50 CNY, win_000012 [12.50 CNY]"},
		{"a reference of two payments is no key", []Item{paid(1, 1250, 12), twin}, []string{",S0001,pay,approved,12.50,CNY,,12,,"},
			"MISSING_AT_SCHEME participant/lotus payment: pay 12.50 CNY, win_000012 <> no row [12.50 CNY]\n" +
				"MISSING_AT_SCHEME participant/lotus payment: pay 12.50 CNY, win_000012 <> no row [12.50 CNY]\n" +
				"MISSING_AT_SWITCH switch/lotus payment: no movement <> approved pay 12.50 CNY, win_000012 [12.50 CNY]"},
		{"other amount", []Item{paid(1, 1250, 12)}, []string{"P1,,pay,approved,13,CNY,,12,,"},
			"AMOUNT participant/lotus payment: 12.50 CNY <> 13.00 CNY [0.50 CNY]"},
		{"other currency", []Item{paid(1, 1250, 12)}, []string{"P1,,pay,approved,12.50,HKD,,12,,"},
			"CURRENCY participant/lotus payment: 12.50 CNY <> 12.50 HKD [12.50 CNY]"},
		{"we posted, they declined", []Item{paid(1, 1250, 12)}, []string{"P1,,pay,declined,12.50,CNY,,12,,"},
			"STATUS participant/lotus payment: approved pay 12.50 CNY, win_000012 <> declined pay 12.50 CNY, win_000012 [12.50 CNY]"},
		{"they posted, we declined", []Item{unposted(1, tongma.Refused)}, []string{"P1,,pay,approved,12.50,CNY,,12,,"},
			"STATUS switch/lotus payment: declined pay 12.50 CNY <> approved pay 12.50 CNY, win_000012 [12.50 CNY]"},
		{"they turned it back, we did not", []Item{paid(1, 1250, 12)}, []string{"P1,,pay,approved,12.50,CNY,,12,,", "P1,,reversal,approved,12.50,CNY,,12,,"},
			"STATUS switch/lotus reversal: approved pay 12.50 CNY <> approved reversal 12.50 CNY, win_000012 [12.50 CNY]"},
		{"a refund reported as a payment", []Item{refund}, []string{"P3,,pay,approved,5.00,CNY,,12,,"},
			"STATUS switch/lotus payment: approved refund 5.00 CNY, win_000012 <> approved pay 5.00 CNY, win_000012 [5.00 CNY]"},
		{"reported twice", []Item{paid(1, 1250, 12)}, []string{"P1,,pay,approved,12.50,CNY,,12,,", ",S0001,pay,approved,12.50,CNY,,12,,"},
			"DUPLICATE participant/lotus payment: one row <> another: approved pay 12.50 CNY, win_000012 [12.50 CNY]"},
		{"of two rows the one that agrees is kept", []Item{paid(1, 1250, 12)}, []string{"P1,,pay,approved,99.00,CNY,,12,,", "P1,,pay,approved,12.50,CNY,,12,,"},
			"DUPLICATE participant/lotus payment: one row <> another: approved pay 99.00 CNY, win_000012 [99.00 CNY]"},
		{"unknown here, and twice", nil, []string{"P1,,pay,approved,12.50,CNY,,12,,", "P1,,pay,approved,12.50,CNY,,12,,"},
			"MISSING_AT_SWITCH switch/lotus payment: no movement <> approved pay 12.50 CNY, win_000012 [12.50 CNY]\n" +
				"DUPLICATE participant/lotus payment: one row <> another: approved pay 12.50 CNY, win_000012 [12.50 CNY]"},
		{"ours is in the window before", []Item{paid(1, 1250, 11)}, []string{"P1,,pay,approved,12.50,CNY,,12,,"},
			"WINDOW participant/lotus payment: win_000011 <> file of win_000012 [12.50 CNY]"},
		{"they name another window", []Item{paid(1, 1250, 12)}, []string{"P1,,pay,approved,12.50,CNY,,13,,"},
			"WINDOW participant/lotus payment: win_000012 <> file of win_000012, row of win_000013 [12.50 CNY]"},
		{"they name another business date", []Item{paid(1, 1250, 12)}, []string{"P1,,pay,approved,12.50,CNY,,,2026-11-23,"},
			"WINDOW participant/lotus payment: win_000012 <> file of win_000012, dated 2026-11-23 [12.50 CNY]"},
		{"one row for a payment that we turned back in the next window", []Item{reversed(paid(1, 1250, 12), 13)}, []string{"P1,,pay,reversed,12.50,CNY,,12,,"},
			"WINDOW participant/lotus reversal: win_000013 <> file of win_000012 [12.50 CNY]"},
		{"other fee", []Item{paid(1, 1250, 12)}, []string{"P1,,pay,approved,12.50,CNY,0.05,12,,"},
			"FEE participant/lotus payment: fee 0.03 CNY <> fee 0.05 CNY [0.02 CNY]"},
		{"amount, window and fee at once", []Item{paid(1, 1250, 11)}, []string{"P1,,pay,approved,12.49,CNY,0.02,12,,"},
			"AMOUNT participant/lotus payment: 12.50 CNY <> 12.49 CNY [0.01 CNY]\n" +
				"WINDOW participant/lotus payment: win_000011 <> file of win_000012 [12.50 CNY]\n" +
				"FEE participant/lotus payment: fee 0.03 CNY <> fee 0.02 CNY [0.01 CNY]"},
		{"a participant that the file does not cover", nil, []string{"P1,,pay,approved,12.50,CNY,,12,,orchid"},
			"UNKNOWN_PARTICIPANT switch/orchid payment: a participant that lotus reports for <> approved pay 12.50 CNY, win_000012 [12.50 CNY]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Input{Items: c.items, Files: []File{file(t, c.rows...)}, Cycles: []Cycle{{Window: 12, Date: 20261122}},
				Fee: func(p tongma.ParticipantID, it *Item) (tongma.Money, bool) { return cny(3), true }}
			if got := say(run1(t, in).Breaks); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestEachKindOfBreakAtTheBank has one row a rule: two legs, what the statement
// says, and the breaks that this makes.
func TestEachKindOfBreakAtTheBank(t *testing.T) {
	late := credit("B1", "I1", 1250)
	late.Value = late.Value.AddDate(0, 0, 2)
	uetr := credit("B1", "NOTPROVIDED", 1250)
	uetr.UETR = "8a562c67-ca16-48ba-b074-65581be6f001"
	dollars := credit("B1", "I1", 1250)
	dollars.Amount.Currency = tongma.USD
	paidOut := debit("B2", "I2", 1250)
	for _, c := range []struct {
		name    string
		entries []BankEntry
		want    string
	}{
		{"both legs", []BankEntry{credit("B1", "I1", 1250), paidOut}, ""},
		{"a leg in two parts", []BankEntry{credit("B1", "I1", 1000), credit("B3", "I1", 250), paidOut}, ""},
		{"by the agent's reference", []BankEntry{credit("I1", "", 1250), paidOut}, ""},
		{"by UETR", []BankEntry{uetr, paidOut}, ""},
		{"debtor did not pay", []BankEntry{paidOut}, "UNPAID_NET participant/lotus leg: to pay 12.50 CNY <> no entry [12.50 CNY]"},
		{"creditor was not paid", []BankEntry{credit("B1", "I1", 1250)}, "UNPAID_NET agent/harbour leg: to receive 12.50 CNY <> no entry [12.50 CNY]"},
		{"paid and given back", []BankEntry{credit("B1", "I1", 1250), debit("B3", "I1", 1250), paidOut},
			"UNPAID_NET participant/lotus leg: to pay 12.50 CNY <> 0.00 CNY, entries: 2 [12.50 CNY]"},
		{"moved the wrong way", []BankEntry{debit("B1", "I1", 1250), paidOut},
			"UNPAID_NET participant/lotus leg: to pay 12.50 CNY <> -12.50 CNY, entries: 1 [25.00 CNY]"},
		{"in part", []BankEntry{credit("B1", "I1", 1000), paidOut}, "PARTIAL participant/lotus leg: to pay 12.50 CNY <> 10.00 CNY, entries: 1 [2.50 CNY]"},
		{"twice", []BankEntry{credit("B1", "I1", 1250), credit("B3", "I1", 1250), paidOut},
			"OVERPAID agent/lotus leg: to pay 12.50 CNY <> 25.00 CNY, entries: 2 [12.50 CNY]"},
		{"of nobody", []BankEntry{credit("B1", "I1", 1250), paidOut, credit("B9", "X", 77)},
			"UNEXPECTED_ENTRY agent/ entry: no instruction <> credit 0.77 CNY, value 2026-11-23 [0.77 CNY]"},
		{"late", []BankEntry{late, paidOut}, "LATE_VALUE_DATE participant/lotus leg: value date 2026-11-23 <> value date 2026-11-25 [12.50 CNY]"},
		{"in another currency", []BankEntry{dollars, paidOut},
			"CURRENCY agent/lotus leg: to pay 12.50 CNY <> credit 12.50 USD, value 2026-11-23 [12.50 USD]\n" +
				"UNPAID_NET participant/lotus leg: to pay 12.50 CNY <> 0.00 CNY, entries: 1 [12.50 CNY]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := leg("I1", "lotus", true, 1250)
			first.UETR = uetr.UETR
			in := Input{AsOf: noon.AddDate(0, 0, 4), Legs: []Leg{first, leg("I2", "harbour", false, 1250)}, Statements: []Statement{statement(c.entries...)}}
			if got := say(run1(t, in).Breaks); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestABalanceMustFollowFromTheEntries(t *testing.T) {
	s := statement(credit("B1", "I1", 1250), debit("B2", "I2", 1250))
	s.Previous, s.Opening, s.Closing = cny(500), cny(500), cny(500)
	in := Input{Legs: []Leg{leg("I1", "lotus", true, 1250), leg("I2", "harbour", false, 1250)}, Statements: []Statement{s}}
	if got := say(run1(t, in).Breaks); got != "" {
		t.Fatalf("got %s", got)
	}
	in.Statements[0].Closing = cny(499)
	in.Statements[0].Previous = cny(600)
	want := "BALANCE agent/ account: opening balance and entries: 5.00 CNY <> 4.99 CNY [0.01 CNY]\n" +
		"BALANCE agent/ account: opening balance as the statement before closed: 6.00 CNY <> 5.00 CNY [1.00 CNY]"
	if got := say(run1(t, in).Breaks); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOneRowThatTellsOfTwoMovementsDiffersWithEither(t *testing.T) {
	res := run1(t, Input{Items: []Item{reversed(paid(1, 1250, 12), 13)}, Files: []File{file(t, "P1,,pay,reversed,12.50,CNY,,12,,")}})
	for _, a := range res.Tallies {
		if a.Book == BookFile && (a.Differing.Count != 1 || a.Matched.Count != 0) || a.Book == BookJournal && a.Matched.Count != 1 {
			t.Errorf("%+v", a)
		}
	}
}

func TestTheLatestEntryOfALegGivesItsValueDate(t *testing.T) {
	late, soon := credit("B1", "I1", 1000), credit("B2", "I1", 250)
	late.Value = late.Value.AddDate(0, 0, 1)
	for _, entries := range [][]BankEntry{{late, soon}, {soon, late}} {
		for _, refs := range [][2]string{{"B1", "B2"}, {"B2", "B1"}} {
			entries[0].Ref, entries[1].Ref = refs[0], refs[1]
			got := run1(t, Input{Legs: []Leg{leg("I1", "lotus", true, 1250)}, Statements: []Statement{statement(entries...)}}).Breaks
			if len(got) != 1 || got[0].Kind != LateValueDate || got[0].Found != "value date 2026-11-24" {
				t.Errorf("%s", say(got))
			}
		}
	}
}

func TestEntriesWithoutAReferenceAreNeverCopies(t *testing.T) {
	half := credit("", "I1", 625)
	first, second := statement(half), statement(half)
	second.Hash = hash("another day")
	if got := run1(t, Input{Legs: []Leg{leg("I1", "lotus", true, 1250)}, Statements: []Statement{first, second}}).Breaks; len(got) != 0 {
		t.Errorf("%s", say(got))
	}
}

func TestAStatementThatIsThereTwiceCountsOnce(t *testing.T) {
	s := statement(credit("", "I1", 1250))
	s.Opening, s.Closing = cny(0), cny(1)
	got := run1(t, Input{Legs: []Leg{leg("I1", "lotus", true, 1250)}, Statements: []Statement{s, s}}).Breaks
	if len(got) != 1 || got[0].Kind != Balance {
		t.Errorf("%s", say(got))
	}
}

func TestTheAccountOfAnEntryIsThatOfItsStatement(t *testing.T) {
	bare := statement(credit("B1", "I1", 1250))
	named := statement(bare.Entries[0])
	named.Entries, named.Hash = []BankEntry{bare.Entries[0]}, hash("advice")
	named.Entries[0].Account = "settlement"
	if got := run1(t, Input{Legs: []Leg{leg("I1", "lotus", true, 1250)}, Statements: []Statement{bare, named}}).Breaks; len(got) != 0 {
		t.Errorf("%s", say(got))
	}
	named.Entries[0].Account = "another"
	if got := run1(t, Input{Legs: []Leg{leg("I1", "lotus", true, 1250)}, Statements: []Statement{bare, named}}).Breaks; len(got) != 1 || got[0].Kind != Overpaid {
		t.Errorf("one reference on two accounts: %s", say(got))
	}
}

func TestALegThatIsNotDueIsNoBreak(t *testing.T) {
	in := Input{AsOf: noon, Legs: []Leg{leg("I1", "lotus", true, 1250)}}
	res := run1(t, in)
	if len(res.Breaks) != 0 || res.Tallies[0].NotDue.Count != 1 {
		t.Fatalf("%+v", res)
	}
	in.AsOf = noon.AddDate(0, 0, 1)
	if got := run1(t, in).Breaks; len(got) != 1 || got[0].Kind != UnpaidNet {
		t.Fatalf("%+v", got)
	}
}

func TestAnEntryThatIsAdvisedAndStatedCountsOnce(t *testing.T) {
	advice, again := statement(credit("B1", "I1", 1250)), statement(credit("B1", "I1", 1250), debit("B2", "I2", 1250))
	legs := []Leg{leg("I1", "lotus", true, 1250), leg("I2", "harbour", false, 1250)}
	for _, statements := range [][]Statement{{advice, again}, {again, advice}, {again, again, advice, advice}} {
		if got := run1(t, Input{Legs: legs, Statements: statements}).Breaks; len(got) != 0 {
			t.Fatalf("%s", say(got))
		}
	}
	// Twice in one statement is twice.
	if got := run1(t, Input{Legs: legs, Statements: []Statement{statement(credit("B1", "I1", 1250), credit("B1", "I1", 1250), debit("B2", "I2", 1250))}}).Breaks; len(got) != 1 || got[0].Kind != Overpaid {
		t.Fatalf("%s", say(got))
	}
}

func TestLikelyCounterpartsAreProposedAndNeverMatched(t *testing.T) {
	late := paid(1, 1250, 12)
	late.PostedAt = noon.Add(-40 * time.Second).UnixMilli()
	in := Input{Items: []Item{late}, Files: []File{file(t, ",OTHER,pay,approved,12.50,CNY,,12,,")}, Cycles: []Cycle{{Window: 12, Closed: noon}},
		Legs: []Leg{leg("I1", "lotus", true, 1250)}, Statements: []Statement{statement(credit("B1", "", 1250))}, AsOf: noon.AddDate(0, 0, 3)}
	got := map[Kind]string{}
	for _, b := range run1(t, in).Breaks {
		got[b.Kind] = b.Proposal
	}
	want := map[Kind]string{
		MissingAtScheme: "posted 40s before the window closed: look for it in the next file; same amount as reference OTHER",
		MissingAtSwitch: "same amount as " + pid(1).String(),
		UnpaidNet:       "same amount as entry B1",
		UnexpectedEntry: "same amount as is open of I1",
	}
	for kind, text := range want {
		if got[kind] != text {
			t.Errorf("%s: got %q, want %q", kind, got[kind], text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}

func TestOneFileForSeveralParticipants(t *testing.T) {
	f := file(t, "P1,,pay,approved,12.50,CNY,,12,,", "P1,,pay,approved,12.50,CNY,,12,,harbour")
	f.Covers = []tongma.ParticipantID{"lotus", "harbour", "lotus"}
	if res := run1(t, Input{Items: []Item{paid(1, 1250, 12)}, Files: []File{f}}); len(res.Breaks) != 0 || len(res.Tallies) != 4 {
		t.Fatalf("%+v", res)
	}
}

func TestInputThatNoSideMayHaveIsRefused(t *testing.T) {
	good := func() Input {
		return Input{Window: 12, AsOf: noon, Items: []Item{paid(1, 1250, 12)}, Files: []File{file(t)},
			Legs: []Leg{leg("I1", "lotus", true, 1250)}, Statements: []Statement{statement(credit("B1", "I1", 1250))}}
	}
	for name, spoil := range map[string]func(*Input){
		"no window":                func(in *Input) { in.Window = 0 },
		"one payment twice":        func(in *Input) { in.Items = append(in.Items, in.Items[0]) },
		"a negative amount":        func(in *Input) { in.Items[0].Amount.Minor = -1 },
		"back but never paid":      func(in *Input) { in.Items[0].Posted, in.Items[0].Reversed = 0, 12 },
		"two files of one":         func(in *Input) { in.Files = append(in.Files, in.Files[0]) },
		"a file without hash":      func(in *Input) { in.Files[0].Hash = [32]byte{} },
		"a row without key":        func(in *Input) { in.Files[0].Rows = []Row{{Kind: RowPay, Amount: cny(1)}} },
		"a row of no kind":         func(in *Input) { in.Files[0].Rows = []Row{{SchemeRef: "S", Amount: cny(1)}} },
		"a leg of nothing":         func(in *Input) { in.Legs[0].Amount.Minor = 0 },
		"one instruction twice":    func(in *Input) { in.Legs = append(in.Legs, in.Legs[0]) },
		"a statement without hash": func(in *Input) { in.Statements[0].Hash = [32]byte{} },
		"an entry below zero":      func(in *Input) { in.Statements[0].Entries[0].Amount.Minor = -1 },
		"entries without bound": func(in *Input) {
			for n := range 3 {
				in.Statements = append(in.Statements, statement(credit("B"+strings.Repeat("x", n+1), "I1", maxBankMinor)))
			}
		},
		"too much": func(in *Input) { in.Items = make([]Item, maxThings/2+1) },
	} {
		t.Run(name, func(t *testing.T) {
			in := good()
			if _, err := Reconcile(in); err != nil {
				t.Fatal(err)
			}
			spoil(&in)
			if res, err := Reconcile(in); err == nil || len(res.Runs) > 0 {
				t.Fatalf("accepted: %+v", res)
			}
		})
	}
}

func TestItemsFollowTheEntries(t *testing.T) {
	j := NewJournal()
	n := uint64(0)
	add := func(e clearing.Entry) {
		t.Helper()
		n++
		e.Number, e.Time = n, int64(n)
		if err := j.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	hold := func(i int) {
		add(clearing.Entry{Kind: clearing.KindHold, Payment: pid(i), Op: tongma.OpPay, Debtor: "lotus", Creditor: "harbour", Amount: cny(1250)})
	}
	step := func(k clearing.Kind, i int, w tongma.WindowID, ref string) {
		add(clearing.Entry{Kind: k, Payment: pid(i), Window: w, SchemeRef: ref})
	}
	for i := 1; i <= 5; i++ {
		hold(i)
	}
	step(clearing.KindPost, 1, 1, "S1")
	step(clearing.KindVoid, 2, 0, "")
	step(clearing.KindReversing, 3, 0, "")
	step(clearing.KindReversed, 3, 0, "")
	step(clearing.KindPost, 4, 1, "S4")
	step(clearing.KindPend, 5, 0, "S5")
	add(clearing.Entry{Kind: clearing.KindClose, Window: 1})
	step(clearing.KindReversing, 4, 0, "")
	step(clearing.KindReversed, 4, 2, "R4")
	type short struct {
		status           tongma.Status
		posted, reversed tongma.WindowID
		ref, back        string
	}
	want := []short{{tongma.Paid, 1, 0, "S1", ""}, {tongma.Refused, 0, 0, "", ""}, {tongma.ReversedBack, 0, 0, "", ""},
		{tongma.ReversedBack, 1, 2, "S4", "R4"}, {tongma.Pending, 0, 0, "S5", ""}}
	for i, it := range j.Items() {
		if got := (short{it.Status, it.Posted, it.Reversed, it.SchemeRef, it.ReverseRef}); got != want[i] {
			t.Errorf("P%d: got %+v, want %+v", i+1, got, want[i])
		}
	}
	if j.Head() != n || j.Closed(1).IsZero() || !j.Closed(2).IsZero() {
		t.Errorf("head %d, closed %v", j.Head(), j.Closed(1))
	}
	for _, bad := range []clearing.Entry{{Number: 1, Kind: clearing.KindClose}, {Number: 99, Kind: clearing.KindPost, Payment: pid(9)},
		{Number: 99, Kind: clearing.KindHold, Payment: pid(1)}} {
		if err := j.Add(&bad); err == nil {
			t.Errorf("%+v accepted", bad)
		}
	}
}
