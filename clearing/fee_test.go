package clearing

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes"
	"pgregory.net/rapid"
)

func points(s string) decimal.Decimal { return decimal.RequireFromString(s) }

var feeParties = Parties{Issuer: "bank-a", Acquirer: "shop-b", Scheme: "net-s", Switch: "tongma"}

// TestFeesAreRoundedOnceHalfToEven, each leg by itself, in minor units.
func TestFeesAreRoundedOnceHalfToEven(t *testing.T) {
	tiers := []schemes.Tier{{BasisPoints: points("0"), FlatMinor: 5}, {AboveMinor: 100_00, BasisPoints: points("10")}, {AboveMinor: 1_000_00, BasisPoints: points("8"), FlatMinor: 10}}
	for _, c := range []struct {
		name   string
		rule   schemes.FeeRule
		amount int64
		want   int64
	}{
		{"half, down to the even", schemes.FeeRule{BasisPoints: points("25")}, 1_000, 2},
		{"half, up to the even", schemes.FeeRule{BasisPoints: points("25")}, 1_400, 4},
		{"more than half", schemes.FeeRule{BasisPoints: points("25")}, 1_001, 3},
		{"less than half", schemes.FeeRule{BasisPoints: points("25")}, 999, 2},
		{"less than half of the least", schemes.FeeRule{BasisPoints: points("25")}, 199, 0},
		{"a fraction of a basis point", schemes.FeeRule{BasisPoints: points("0.5")}, 30_000, 2},
		{"flat", schemes.FeeRule{FlatMinor: 7}, 1, 7},
		{"both", schemes.FeeRule{BasisPoints: points("25"), FlatMinor: 7}, 1_000, 10}, // 9.5: rounded once, behind the sum
		{"not less than", schemes.FeeRule{BasisPoints: points("25"), MinMinor: 4}, 1_000, 4},
		{"not more than", schemes.FeeRule{BasisPoints: points("25"), MaxMinor: 9}, 1_000_000, 9},
		{"the first tier", schemes.FeeRule{Tiers: tiers}, 99_99, 5},
		{"the second, for the whole amount", schemes.FeeRule{Tiers: tiers}, 100_00, 10},
		{"the third", schemes.FeeRule{Tiers: tiers}, 1_000_00, 90},
		{"the largest amount", schemes.FeeRule{BasisPoints: points("10000"), FlatMinor: 5}, tongma.MaxMinor, tongma.MaxMinor},
	} {
		c.rule.Kind, c.rule.From, c.rule.To, c.rule.Currency = schemes.FeeSwitch, schemes.PartyAcquirer, schemes.PartySwitch, tongma.CNY
		legs, err := Fees([]schemes.FeeRule{c.rule}, feeParties, tongma.Money{Minor: c.amount, Currency: tongma.CNY})
		var got int64
		for _, l := range legs {
			got += l.Amount.Minor
		}
		if err != nil || got != c.want || len(legs) > 1 {
			t.Errorf("%s: %+v, %v, want %d", c.name, legs, err, c.want)
		}
	}
}

// TestFeesNameWhoPaysWhom: in the order of the rules, without those of another
// currency, of nothing, and to oneself; a split fee is rounded before it is split.
func TestFeesNameWhoPaysWhom(t *testing.T) {
	rules := []schemes.FeeRule{
		{Kind: schemes.FeeInterchange, From: schemes.PartyAcquirer, To: schemes.PartyIssuer, Currency: tongma.CNY, BasisPoints: points("50"), OnRefund: schemes.FeeReturn},
		{Kind: schemes.FeeScheme, From: schemes.PartyIssuer, To: schemes.PartyScheme, Currency: tongma.JPY, FlatMinor: 3},
		{Kind: schemes.FeeSwitch, From: schemes.PartyAcquirer, Currency: tongma.CNY, FlatMinor: 10, Shares: []schemes.Share{{To: schemes.PartySwitch, Weight: 2}, {To: schemes.PartyScheme, Weight: 1}}},
		{Kind: schemes.FeeScheme, From: schemes.PartyIssuer, To: schemes.PartyScheme, Currency: tongma.CNY, BasisPoints: points("1")},
	}
	amount := tongma.Money{Minor: 2_000, Currency: tongma.CNY}
	got, err := Fees(rules, feeParties, amount)
	want := []Leg{fee(schemes.FeeInterchange, schemes.FeeReturn, "shop-b", "bank-a", 10), fee(schemes.FeeSwitch, schemes.FeeKeep, "shop-b", "tongma", 7), fee(schemes.FeeSwitch, schemes.FeeKeep, "shop-b", "net-s", 3)}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	one := feeParties
	one.Issuer = one.Acquirer
	if got, err = Fees(rules, one, amount); err != nil || len(got) != 2 {
		t.Errorf("issuer and acquirer are one: %+v, %v", got, err)
	}
	for name, ask := range map[string]func() ([]Leg, error){
		"nobody is the scheme":   func() ([]Leg, error) { return Fees(rules, Parties{Issuer: "a", Acquirer: "b", Switch: "t"}, amount) },
		"more legs than may be":  func() ([]Leg, error) { return Fees(slices.Repeat(rules[:1], MaxLegs+1), feeParties, amount) },
		"an amount of nothing":   func() ([]Leg, error) { return Fees(rules, feeParties, tongma.Money{Currency: tongma.CNY}) },
		"a rule that is not one": func() ([]Leg, error) { return Fees([]schemes.FeeRule{{}}, feeParties, amount) },
		"a participant too long": func() ([]Leg, error) {
			p := feeParties
			p.Issuer = tongma.ParticipantID(strings.Repeat("x", 33))
			return Fees(rules, p, amount)
		},
	} {
		if legs, err := ask(); err == nil || legs != nil {
			t.Errorf("%s: %+v, %v", name, legs, err)
		}
	}
}

// TestFeeRuleSaysWhatIsWrong, one fault each, by the name of its field.
func TestFeeRuleSaysWhatIsWrong(t *testing.T) {
	for name, spoil := range map[string]func(*schemes.FeeRule){
		"/kind":               func(r *schemes.FeeRule) { r.Kind = schemes.FeeNone },
		"/on_refund":          func(r *schemes.FeeRule) { r.OnRefund = 2 },
		"/currency":           func(r *schemes.FeeRule) { r.Currency = 1 },
		"/from":               func(r *schemes.FeeRule) { r.From = schemes.PartyNone },
		"/to":                 func(r *schemes.FeeRule) { r.To = schemes.PartyNone },
		"/to itself":          func(r *schemes.FeeRule) { r.To = r.From },
		"/to and shares":      func(r *schemes.FeeRule) { r.Shares = []schemes.Share{{To: schemes.PartySwitch, Weight: 1}} },
		"/basis_points":       func(r *schemes.FeeRule) { r.BasisPoints = points("-1") },
		"/basis_points high":  func(r *schemes.FeeRule) { r.BasisPoints = points("10000.1") },
		"/basis_points fine":  func(r *schemes.FeeRule) { r.BasisPoints = points("0.0000001") },
		"/basis_points huge":  func(r *schemes.FeeRule) { r.BasisPoints = decimal.New(1, math.MaxInt32) },
		"/basis_points flat":  func(r *schemes.FeeRule) { r.FlatMinor = -1 },
		"/basis_points tiers": func(r *schemes.FeeRule) { r.Tiers = []schemes.Tier{{}} },
		"/min":                func(r *schemes.FeeRule) { r.MinMinor, r.MaxMinor = 2, 1 },
		"/min negative":       func(r *schemes.FeeRule) { r.MinMinor = -1 },
		"/tiers":              func(r *schemes.FeeRule) { r.BasisPoints, r.Tiers = points("0"), []schemes.Tier{{AboveMinor: 1}} },
		"/tiers order": func(r *schemes.FeeRule) {
			r.BasisPoints, r.Tiers = points("0"), []schemes.Tier{{}, {AboveMinor: 5}, {AboveMinor: 5}}
		},
		"/shares": func(r *schemes.FeeRule) {
			r.To, r.Shares = schemes.PartyNone, []schemes.Share{{To: schemes.PartySwitch, Weight: 0}}
		},
		"/shares itself": func(r *schemes.FeeRule) {
			r.To, r.Shares = schemes.PartyNone, []schemes.Share{{To: schemes.PartyAcquirer, Weight: 1}}
		},
	} {
		r := schemes.FeeRule{Kind: schemes.FeeSwitch, From: schemes.PartyAcquirer, To: schemes.PartySwitch, Currency: tongma.CNY, BasisPoints: points("5")}
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		spoil(&r)
		field, _, _ := strings.Cut(name, " ")
		if err := r.Check(); tongma.ReasonOf(err) != tongma.FieldInvalid || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSplitAddsUp: whatever is split by whatever weights, the parts add up to it,
// and none is a whole unit away from its exact figure.
func TestSplitAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(0, math.MaxInt64).Draw(t, "total")
		weights := rapid.SliceOfN(rapid.Int64Range(0, math.MaxInt64/8), 1, 8).Draw(t, "weights")
		var of int64
		for _, w := range weights {
			of += w
		}
		parts, err := Split(total, weights)
		if (err != nil) != (of == 0) {
			t.Fatalf("%v by %d", err, of)
		}
		var sum int64
		for i, p := range parts {
			sum += p
			off := new(big.Rat).SetFrac(new(big.Int).Mul(big.NewInt(total), big.NewInt(weights[i])), big.NewInt(of))
			off.Sub(off, new(big.Rat).SetInt64(p))
			if p < 0 || off.Abs(off).Cmp(big.NewRat(1, 1)) >= 0 {
				t.Fatalf("part %d is %d, off by %s", i, p, off)
			}
		}
		if err == nil && sum != total {
			t.Fatalf("%d of %d", sum, total)
		}
	})
	if got, err := Split(10, []int64{1, 1, 1}); err != nil || !slices.Equal(got, []int64{4, 3, 3}) {
		t.Errorf("the earlier first: %d, %v", got, err)
	}
	for _, bad := range [][]int64{nil, {0, 0}, {1, -1}, {math.MaxInt64, 1}} {
		if got, err := Split(10, bad); err == nil {
			t.Errorf("by %d: %d", bad, got)
		}
	}
	if got, err := Split(-1, []int64{1}); err == nil {
		t.Errorf("of less than nothing: %d", got)
	}
}

// TestRefundsReturnFeesExactly: in whatever parts a payment is refunded, what went
// back of each fee after any of them is the exact proportion, rounded half to even;
// so all of it when all is refunded, and none of those that are kept.
func TestRefundsReturnFeesExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.OneOf(rapid.Int64Range(1, 40), rapid.Int64Range(1, tongma.MaxMinor)).Draw(t, "whole")
		taken := []Leg{fee(schemes.FeeInterchange, schemes.FeeReturn, "shop-b", "bank-a", rapid.Int64Range(1, tongma.MaxMinor).Draw(t, "fee")),
			fee(schemes.FeeScheme, schemes.FeeKeep, "bank-a", "net-s", 3), fee(schemes.FeeSwitch, schemes.FeeReturn, "shop-b", "tongma", rapid.Int64Range(1, 20).Draw(t, "other fee"))}
		back := map[schemes.FeeKind]int64{}
		for before := int64(0); before < whole; {
			amount := rapid.Int64Range(1, whole-before).Draw(t, "refund")
			for _, l := range Returned(taken, whole, before, amount) {
				if back[l.Kind] += l.Amount.Minor; l.Amount.Minor <= 0 || l.To != "shop-b" {
					t.Fatalf("%+v", l)
				}
			}
			before += amount
			for _, l := range taken {
				want := int64(0)
				if l.OnRefund == schemes.FeeReturn {
					want = decimal.NewFromInt(l.Amount.Minor).Mul(decimal.NewFromInt(before)).DivRound(decimal.NewFromInt(whole), 30).RoundBank(0).IntPart()
				}
				if back[l.Kind] != want {
					t.Fatalf("%d of %d refunded: %d of %d went back, want %d", before, whole, back[l.Kind], l.Amount.Minor, want)
				}
			}
		}
	})
	if legs := Returned(nil, 10, 0, 10); legs != nil {
		t.Errorf("of no fees: %+v", legs)
	}
}
