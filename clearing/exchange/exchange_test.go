package exchange

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/tongma/tongma"
	"pgregory.net/rapid"
)

const (
	clf tongma.Currency = 990 // four decimals
	mru tongma.Currency = 929 // divides by five, carried with two
)

func mustRate(t testing.TB, s string) Rate {
	t.Helper()
	r, err := ParseRate(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func money(t testing.TB, s string) tongma.Money {
	t.Helper()
	number, code, _ := strings.Cut(s, " ")
	c, ok := tongma.CurrencyByCode(code)
	if !ok {
		t.Fatalf("no currency in %q", s)
	}
	m, err := tongma.ParseMoney(number, c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheDealerKeepsTheResidue(t *testing.T) {
	for _, c := range []struct{ terms, given, source, target string }{
		{"USD/JPY 155.230 source", "10.00 USD", "10.00 USD", "1552 JPY"}, // 1552.3: the target is rounded down
		{"USD/JPY 155.230 target", "1552 JPY", "10.00 USD", "1552 JPY"},  // 9.998...: the source is rounded up
		{"USD/JPY 155.230 source", "1552 JPY", "1552 JPY", "9.99 USD"},   // the other way round, the same rate
		{"USD/JPY 155.230 target", "10.00 USD", "1553 JPY", "10.00 USD"}, // 1552.3
		{"USD/KWD 0.307 source", "1.00 USD", "1.00 USD", "0.307 KWD"},    // exact: nothing is left
		{"KWD/JPY 507.125 source", "0.001 KWD", "", ""},                  // 0.507 JPY: less than a minor unit
		{"KWD/JPY 507.125 target", "1 JPY", "0.002 KWD", "1 JPY"},        // 0.00197
		{"CLF/USD 41.37 source", "0.0001 CLF", "", ""},                   // 0.004 USD
		{"CLF/USD 41.37 source", "0.0003 CLF", "0.0003 CLF", "0.01 USD"}, // 0.0124
		{"CLF/KWD 12.7 target", "1.000 KWD", "0.0788 CLF", "1.000 KWD"},  // 0.07874
		{"EUR/MRU 42.83 source", "7.77 EUR", "7.77 EUR", "332.78 MRU"},   // 332.7891: two decimals, though it divides by five
		{"JPY/VND 164 source", "1 JPY", "1 JPY", "164 VND"},              // no decimals on either side
		{"USD/VND 25410 target", "1 VND", "0.01 USD", "1 VND"},           // never for nothing
		{"VND/USD 0.000039 source", "999999999999 VND", "999999999999 VND", "38999999.99 USD"},
		{"JPY/CLF 0.000155 source", "1 JPY", "1 JPY", "0.0001 CLF"},
		{"USD/VND 25410 source", "9999999999.99 USD", "", ""}, // more than can be paid
	} {
		terms, err := ParseTerms(c.terms)
		if err != nil {
			t.Fatal(err)
		}
		given := money(t, c.given)
		other := terms.Rate.Base
		if given.Currency == other {
			other = terms.Rate.Term
		}
		got, err := terms.Convert(given, other)
		if c.source == "" {
			if tongma.ReasonOf(err) != tongma.AmountInvalid {
				t.Errorf("%s, %s: %v, %v", c.terms, c.given, got, err)
			}
			continue
		}
		if want := (Pair{money(t, c.source), money(t, c.target)}); err != nil || got.Pair != want {
			t.Errorf("%s, %s: %v for %v, %v", c.terms, c.given, got.Source, got.Target, err)
		} else if err := terms.Check(got.Source, got.Target); err != nil {
			t.Errorf("%s, %s: %v", c.terms, c.given, err)
		}
	}
}

// drawTerms draws any rate between any two currencies, and an amount of either.
func drawTerms(t *rapid.T) (Terms, tongma.Money, tongma.Currency) {
	all := tongma.Currencies()
	few := []tongma.Currency{tongma.USD, tongma.JPY, tongma.KWD, clf, mru}
	draw := func(name string) tongma.Currency {
		if rapid.Bool().Draw(t, name+"-of-few") {
			return rapid.SampledFrom(few).Draw(t, name)
		}
		return rapid.SampledFrom(all).Draw(t, name)
	}
	base, term := draw("base"), draw("term")
	digits := rapid.Uint64Range(1, pow10[MaxDigits]-1).Draw(t, "digits") / pow10[rapid.IntRange(0, 14).Draw(t, "fewer")]
	r := Rate{base, term, max(1, digits), uint8(rapid.IntRange(0, MaxDecimals).Draw(t, "decimals"))}
	if base == term {
		t.Skip("one currency")
	}
	terms := Terms{r, rapid.SampledFrom([]Side{Source, Target}).Draw(t, "fixed")}
	given, other := base, term
	if rapid.Bool().Draw(t, "other way") {
		given, other = other, given
	}
	minor := rapid.Int64Range(1, tongma.MaxMinor).Draw(t, "minor") / int64(pow10[rapid.IntRange(0, 11).Draw(t, "smaller")])
	return terms, tongma.Money{Minor: max(1, minor), Currency: given}, other
}

func rat(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	return r
}

// scale returns ten to the power of the currency's decimals.
func scale(c tongma.Currency) *big.Rat {
	return new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.MinorUnits())), nil))
}

// exact computes the other side in minor units with fractions, from the texts of
// the rate and the amount alone.
func exact(terms Terms, given tongma.Money, other tongma.Currency) *big.Rat {
	x := rat(given.Decimal())
	if rate := rat(terms.Rate.Number()); given.Currency == terms.Rate.Base {
		x.Mul(x, rate)
	} else {
		x.Quo(x, rate)
	}
	return x.Mul(x, scale(other))
}

// TestTheResidueIsTheDealersAndLessThanAMinorUnit computes with big rationals.
func TestTheResidueIsTheDealersAndLessThanAMinorUnit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms, given, other := drawTerms(t)
		want := exact(terms, given, other)
		got, err := terms.Convert(given, other)
		floor := new(big.Int).Quo(want.Num(), want.Denom())
		if terms.Fixed == Target && !want.IsInt() {
			floor.Add(floor, big.NewInt(1))
		}
		if floor.Sign() == 0 || floor.Cmp(big.NewInt(tongma.MaxMinor)) > 0 {
			if tongma.ReasonOf(err) != tongma.AmountInvalid {
				t.Fatalf("%v, %v: %v, %v, exactly %v", terms, given, got, err, want)
			}
			return
		}
		if err != nil {
			t.Fatalf("%v, %v: %v", terms, given, err)
		}
		kept, computed := new(big.Rat), got.Target
		if terms.Fixed == Source {
			kept.Sub(want, new(big.Rat).SetInt64(got.Target.Minor))
		} else {
			computed = got.Source
			kept.Sub(new(big.Rat).SetInt64(got.Source.Minor), want)
		}
		if kept.Sign() < 0 || kept.Cmp(big.NewRat(1, 1)) >= 0 {
			t.Fatalf("%v, %v: the dealer keeps %v of a minor unit", terms, given, kept)
		}
		left := new(big.Rat).SetFrac(new(big.Int).SetUint64(got.Left), new(big.Int).SetUint64(got.Of))
		if left.Cmp(kept) != 0 || computed.Currency != other {
			t.Fatalf("%v, %v: %+v, kept %v", terms, given, got, kept)
		}
	})
}

// TestOnlyOnePairPassesTheCheck: a minor unit more or less on either side does not.
func TestOnlyOnePairPassesTheCheck(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		terms, given, other := drawTerms(t)
		got, err := terms.Convert(given, other)
		if err != nil {
			return
		}
		if err := Check(got.Source, got.Target, terms.Rate, terms.Fixed); err != nil {
			t.Fatal(err)
		}
		computed := &got.Target
		if terms.Fixed == Target {
			computed = &got.Source
		}
		for _, by := range []int64{-1, 1} {
			computed.Minor += by
			if terms.Check(got.Source, got.Target) == nil {
				t.Fatalf("%v: %v for %v passed", terms, got.Source, got.Target)
			}
			computed.Minor -= by
		}
	})
}

// TestAllRefundsTogetherReturnThePaymentExactly gives back in parts, in either
// currency, and gives some parts up in between; the last part returns the rest.
func TestAllRefundsTogetherReturnThePaymentExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Int64Range(1, tongma.MaxMinor)
		whole := Pair{tongma.Money{Minor: amount.Draw(t, "source"), Currency: tongma.USD}, tongma.Money{Minor: amount.Draw(t, "target"), Currency: tongma.JPY}}
		done := Pair{tongma.Money{Currency: tongma.USD}, tongma.Money{Currency: tongma.JPY}}
		var parts []Pair
		for range rapid.IntRange(0, 20).Draw(t, "parts") {
			if len(parts) > 0 && rapid.IntRange(0, 3).Draw(t, "give up") == 0 {
				i := rapid.IntRange(0, len(parts)-1).Draw(t, "which")
				done.Source.Minor -= parts[i].Source.Minor
				done.Target.Minor -= parts[i].Target.Minor
				parts = append(parts[:i:i], parts[i+1:]...)
				continue
			}
			part := tongma.Money{Minor: rapid.Int64Range(1, 1+whole.Target.Minor/3).Draw(t, "part"), Currency: tongma.JPY}
			if rapid.Bool().Draw(t, "in source") {
				part = tongma.Money{Minor: rapid.Int64Range(1, 1+whole.Source.Minor/3).Draw(t, "part of source"), Currency: tongma.USD}
			}
			back, err := Proportion(whole, done, part)
			if err != nil {
				if r := tongma.ReasonOf(err); r != tongma.RefundExceeds && r != tongma.AmountInvalid {
					t.Fatal(err)
				}
				continue
			}
			if back.Source.Minor <= 0 || back.Target.Minor <= 0 || (back.Source != part && back.Target != part) {
				t.Fatalf("%+v of %+v", back, part)
			}
			done.Source.Minor += back.Source.Minor
			done.Target.Minor += back.Target.Minor
			parts = append(parts, back)
		}
		if (done.Source.Minor == whole.Source.Minor) != (done.Target.Minor == whole.Target.Minor) {
			t.Fatalf("one side is all back, the other is not: %+v of %+v", done, whole)
		}
		left := tongma.Money{Minor: whole.Target.Minor - done.Target.Minor, Currency: tongma.JPY}
		if left.Minor == 0 {
			return
		}
		last, err := Proportion(whole, done, left)
		if err != nil || last.Source.Minor+done.Source.Minor != whole.Source.Minor || last.Target != left {
			t.Fatalf("the last: %+v, %v; %+v of %+v", last, err, done, whole)
		}
		if _, err := Proportion(whole, whole, tongma.Money{Minor: 1, Currency: tongma.USD}); tongma.ReasonOf(err) != tongma.RefundExceeds {
			t.Fatal(err)
		}
	})
}

func TestRefundsInOneCurrencyNeverRunAheadOfTheirShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Int64Range(1, tongma.MaxMinor)
		whole := Pair{tongma.Money{Minor: amount.Draw(t, "source"), Currency: tongma.USD}, tongma.Money{Minor: amount.Draw(t, "target"), Currency: tongma.JPY}}
		done := Pair{tongma.Money{Currency: tongma.USD}, tongma.Money{Currency: tongma.JPY}}
		for done.Target.Minor < whole.Target.Minor {
			left := whole.Target.Minor - done.Target.Minor
			part := rapid.Int64Range(1+left/4, left).Draw(t, "part")
			back, err := Proportion(whole, done, tongma.Money{Minor: part, Currency: tongma.JPY})
			if err != nil && tongma.ReasonOf(err) != tongma.AmountInvalid {
				t.Fatal(err)
			}
			if err != nil { // too little for the other side: all of it then
				if back, err = Proportion(whole, done, tongma.Money{Minor: left, Currency: tongma.JPY}); err != nil {
					t.Fatal(err)
				}
			}
			done.Source.Minor += back.Source.Minor
			done.Target.Minor += back.Target.Minor
			// floor(whole source * done target / whole target), by other arithmetic
			want := new(big.Int).Mul(big.NewInt(whole.Source.Minor), big.NewInt(done.Target.Minor))
			if want.Quo(want, big.NewInt(whole.Target.Minor)).Int64() != done.Source.Minor {
				t.Fatalf("%v of %+v back: %v", done.Source, whole, want)
			}
		}
		if done != whole {
			t.Fatalf("%+v of %+v", done, whole)
		}
	})
}

func TestProportionRefuses(t *testing.T) {
	usd := func(n int64) tongma.Money { return tongma.Money{Minor: n, Currency: tongma.USD} }
	jpy := func(n int64) tongma.Money { return tongma.Money{Minor: n, Currency: tongma.JPY} }
	whole := Pair{usd(1000), jpy(1552)}
	for _, c := range []struct {
		whole, done Pair
		part        tongma.Money
		want        tongma.Reason
	}{
		{whole, Pair{}, tongma.Money{Minor: 5, Currency: tongma.EUR}, tongma.CurrencyMismatch},
		{whole, Pair{jpy(1), jpy(1)}, usd(5), tongma.CurrencyMismatch},
		{whole, Pair{}, usd(0), tongma.AmountInvalid},
		{whole, Pair{}, usd(-5), tongma.AmountInvalid},
		{whole, Pair{usd(-1), jpy(0)}, usd(5), tongma.AmountInvalid},
		{Pair{usd(0), jpy(5)}, Pair{}, usd(5), tongma.AmountInvalid},
		{whole, Pair{}, usd(1001), tongma.RefundExceeds},
		{whole, Pair{usd(999), jpy(1551)}, usd(2), tongma.RefundExceeds},
		{whole, Pair{usd(0), jpy(1553)}, usd(2), tongma.RefundExceeds},
		{Pair{jpy(1), usd(164)}, Pair{}, usd(82), tongma.AmountInvalid}, // half a yen
		{Pair{usd(math.MaxInt64), jpy(math.MaxInt64)}, Pair{usd(math.MaxInt64), jpy(0)}, usd(math.MaxInt64), tongma.RefundExceeds},
	} {
		if _, err := Proportion(c.whole, c.done, c.part); tongma.ReasonOf(err) != c.want {
			t.Errorf("%+v, %+v, %v: %v, want %v", c.whole, c.done, c.part, err, c.want)
		}
	}
	back, err := Proportion(Pair{usd(math.MaxInt64), jpy(math.MaxInt64 - 1)}, Pair{}, usd(math.MaxInt64))
	if err != nil || back.Target.Minor != math.MaxInt64-1 {
		t.Fatal(back, err)
	}
}

func TestRatesAreWrittenAsTheyWereRead(t *testing.T) {
	for _, s := range []string{"USD/JPY 155.230", "JPY/USD 0.006442", "KWD/VND 83011", "USD/JPY 1", "USD/CNY 0.000000000001", "USD/CNY 999999999999999", "USD/CNY 123.456789012345"} {
		r := mustRate(t, s)
		if r.String() != s {
			t.Errorf("%q came back as %q", s, r)
		}
		text, err := json.Marshal(Quote{Rate: r, Fixed: Source})
		var q Quote
		if err != nil || json.Unmarshal(text, &q) != nil || q.Rate != r || q.Fixed != Source {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, bad := range []string{"", "USD/JPY", "USD/JPY ", "USD/JPY .5", "USD/JPY 5.", "USD/JPY 0", "USD/JPY 0.000", "USD/JPY 01", "USD/JPY -1", "USD/JPY +1", "USD/JPY 1e3",
		"USD/JPY 1.5.5", "USD/USD 1", "USD/XXX 1", "usd/jpy 1", "USD-JPY 1", "USD/JPY 1 ", "USD/JPY  1", "USD/JPY 1234567890123456", "USD/JPY 0.0000000000001", "USD/JPY １"} {
		if r, err := ParseRate(bad); err == nil {
			t.Errorf("%q was read as %v", bad, r)
		}
	}
	for _, bad := range []string{"", "USD/JPY 1", "USD/JPY 1 none", "USD/JPY 1 both", " source", "USD/JPY 1  source"} {
		if _, err := ParseTerms(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestAMarginIsTheDealers(t *testing.T) {
	for _, c := range []struct{ number, margin, want string }{
		{"4.1975", "25", "HKD/THB 4.1870"}, // 4.18700625
		{"4.1975", "0", "HKD/THB 4.1975"},
		{"4.1975", "0.5", "HKD/THB 4.1972"}, // 4.19729...
		{"4", "9999", "HKD/THB 0.0004"},
		{"0.0001", "1", ""},
		{"4", "10000", ""},
		{"4", "-1", ""},
		{"-4", "1", ""},
	} {
		got, err := Quoted(tongma.HKD, tongma.THB, c.number, decimal.RequireFromString(c.margin), 4)
		if (c.want == "") != (tongma.ReasonOf(err) == tongma.FieldInvalid) || (err == nil && got.String() != c.want) {
			t.Errorf("%s less %s: %v, %v", c.number, c.margin, got, err)
		}
	}
}

func TestAQuoteHoldsUntilItsExpiry(t *testing.T) {
	q := Quote{ID: "q-1", Dealer: "dealer", Source: tongma.USD, Target: tongma.JPY, Rate: mustRate(t, "USD/JPY 155.230"), Fixed: Target, Expiry: 1000}
	if err := q.Usable(1000); err != nil {
		t.Fatal(err)
	}
	if err := q.Usable(1001); tongma.ReasonOf(err) != tongma.QuoteExpired {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Quote){
		"id": func(q *Quote) { q.ID = "" }, "dealer": func(q *Quote) { q.Dealer = "" }, "side": func(q *Quote) { q.Fixed = NoSide },
		"rate": func(q *Quote) { q.Rate = Rate{} }, "currency": func(q *Quote) { q.Source = tongma.EUR }, "same": func(q *Quote) { q.Source = tongma.JPY },
	} {
		other := q
		spoil(&other)
		if err := other.Usable(0); tongma.ReasonOf(err) != tongma.FieldInvalid {
			t.Errorf("without its %s: %v", name, err)
		}
	}
	if _, err := Convert(money(t, "10.00 USD"), q, Source); tongma.ReasonOf(err) != tongma.QuoteMismatch {
		t.Fatal(err)
	}
	if _, err := Convert(money(t, "10.00 USD"), q, Target); tongma.ReasonOf(err) != tongma.QuoteMismatch {
		t.Fatal(err)
	}
	got, err := Convert(money(t, "1552 JPY"), q, Target)
	if err != nil || got.Source != money(t, "10.00 USD") {
		t.Fatal(got, err)
	}
	if _, err := (Terms{}).Convert(money(t, "1 JPY"), tongma.USD); tongma.ReasonOf(err) != tongma.FieldInvalid {
		t.Fatal(err)
	}
}

func TestCheckingAPaymentAllocatesNothing(t *testing.T) {
	source, target := money(t, "10.00 USD"), money(t, "1552 JPY")
	if n := testing.AllocsPerRun(100, func() {
		terms, err := ParseTerms("USD/JPY 155.230 source")
		if err != nil || terms.Check(source, target) != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzTerms(f *testing.F) {
	f.Add("USD/JPY 155.230 source", int64(1000))
	f.Add("CLF/KWD 12.7 target", int64(math.MaxInt64))
	f.Add("JPY/CLF 999999999999999 source", int64(1))
	f.Add("CLF/JPY 0.000000000001 target", int64(tongma.MaxMinor))
	f.Fuzz(func(t *testing.T, text string, minor int64) {
		terms, err := ParseTerms(text)
		if err != nil {
			return
		}
		if terms.String() != text {
			t.Fatalf("%q came back as %q", text, terms)
		}
		for _, given := range []tongma.Currency{terms.Rate.Base, terms.Rate.Term} {
			other := terms.Rate.Term
			if given == other {
				other = terms.Rate.Base
			}
			if c, err := terms.Convert(tongma.Money{Minor: minor, Currency: given}, other); err == nil && (c.Left >= c.Of || terms.Check(c.Source, c.Target) != nil) {
				t.Fatalf("%v, %d: %+v", terms, minor, c)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	source, target := money(b, "10.00 USD"), money(b, "1552 JPY")
	for b.Loop() {
		terms, _ := ParseTerms("USD/JPY 155.230 source")
		if terms.Check(source, target) != nil {
			b.Fatal()
		}
	}
}
