package tongma

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMoneyNeverMixesCurrenciesNorWraps(t *testing.T) {
	if _, err := (Money{1, CNY}).Add(Money{1, USD}); ReasonOf(err) != CurrencyMismatch {
		t.Errorf("CNY and USD: %v", err)
	}
	for _, c := range [][2]int64{{math.MaxInt64, 1}, {math.MinInt64, -1}} {
		if _, err := (Money{c[0], CNY}).Add(Money{c[1], CNY}); ReasonOf(err) != AmountInvalid {
			t.Errorf("%d plus %d: %v", c[0], c[1], err)
		}
	}
	if _, err := (Money{math.MinInt64, CNY}).Neg(); err == nil {
		t.Error("the negation of the smallest number exists")
	}
}

func TestDecimalsFollowTheCurrency(t *testing.T) {
	for _, c := range []struct {
		minor    int64
		currency Currency
		want     string
	}{{1250, CNY, "12.50"}, {5, CNY, "0.05"}, {-5, CNY, "-0.05"}, {0, CNY, "0.00"}, {1250, JPY, "1250"}, {1250, KWD, "1.250"}, {12345, 990, "1.2345"}, {math.MinInt64, CNY, "-92233720368547758.08"}} {
		if got := (Money{c.minor, c.currency}).Decimal(); got != c.want {
			t.Errorf("%d %s: got %s, want %s", c.minor, c.currency, got, c.want)
		}
	}
	for _, c := range []struct {
		text     string
		currency Currency
		want     int64
		reason   Reason
	}{{"12.5", CNY, 1250, 0}, {"98.", CNY, 9800, 0}, {"12.500", CNY, 1250, 0}, {"12.505", CNY, 0, AmountDecimals}, {"12.50", JPY, 0, AmountDecimals}, {"12.0", JPY, 12, 0},
		{"-1", CNY, 0, AmountInvalid}, {"1e3", CNY, 0, AmountInvalid}, {"", CNY, 0, AmountInvalid}, {".5", CNY, 0, AmountInvalid}, {"1,000", CNY, 0, AmountInvalid},
		{"99999999999999999999", CNY, 0, AmountInvalid}, {"1.0.0", CNY, 0, AmountInvalid}, {"1", 1, 0, CurrencyUnknown}, {"01.10", CNY, 110, 0}, {"9223372036854775808", JPY, 0, AmountInvalid}} {
		m, err := ParseMoney(c.text, c.currency)
		if m.Minor != c.want || ReasonOf(err) != c.reason {
			t.Errorf("%q %s: got %d and %v", c.text, c.currency, m.Minor, err)
		}
	}
}

func TestPaymentIDTextIsTheIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var id PaymentID
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		text, _ := id.MarshalText()
		got, err := ParsePaymentID(string(text))
		if err != nil || got != id {
			t.Fatalf("%s: %v and %v", text, got, err)
		}
	})
	for _, bad := range []string{"", "pay_", "pay_8zzzzzzzzzzzzzzzzzzzzzzzzz", "pay_0123456789abcdefghijklmnop", strings.Repeat("0", 30)} {
		if _, err := ParsePaymentID(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestEveryReasonIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if r.Slug == "" || r.Title == "" || r.DE39 == "" || len(r.DE39) != 2 || r.HTTP == 0 || r.Act == "" || r.Retry == "" || seen[r.Slug] || strings.HasSuffix(r.Title, ".") {
			t.Errorf("%s: row is not complete: %+v", r.Reason.Code(), r)
		}
		seen[r.Slug] = true
		for _, form := range []string{r.Slug, r.Reason.Code(), strings.ToLower(r.Reason.Code())} {
			if got, ok := ParseReason(form); !ok || got != r.Reason {
				t.Errorf("%q does not lead back to %s", form, r.Reason.Code())
			}
		}
	}
	if Reason(1).Known() || Reason(1).Info().Reason != Internal || Reason(65535).Known() {
		t.Error("a number that nobody explains is not internal")
	}
}

func drawRequest(t *rapid.T) Request {
	text := rapid.StringMatching(`[ -~é中"\\]{0,20}`)
	r := Request{Key: rapid.StringMatching(`[!-~]{0,30}`).Draw(t, "key"), OfKey: rapid.StringMatching(`[!-~]{0,30}`).Draw(t, "of"), Code: text.Draw(t, "code"),
		Scheme: "s", Acquirer: "a", Issuer: "i", Amount: Money{rapid.Int64Range(-1<<62, 1<<62).Draw(t, "minor"), CNY}, Order: text.Draw(t, "order"),
		Merchant: Merchant{ID: rapid.StringMatching(`[0-9A-Z-]{0,15}`).Draw(t, "merchant"), Name: text.Draw(t, "name")}, Reason: InsufficientFunds,
		Budget: time.Duration(rapid.IntRange(0, 600_000).Draw(t, "budget")) * time.Millisecond, Attempt: rapid.IntRange(0, 9).Draw(t, "attempt")}
	if rapid.Bool().Draw(t, "in two currencies") {
		r.PayIn, r.Quote = HKD, rapid.StringMatching(`[!-~]{0,30}`).Draw(t, "quote")
		r.Exchange = Exchange{Dealer: "d", Quote: text.Draw(t, "its quote"), Rate: "HKD/CNY 0.9193 target", Source: Money{rapid.Int64Range(0, MaxMinor).Draw(t, "source"), HKD},
			Target: r.Amount, Expiry: rapid.Int64Range(0, 4e12).Draw(t, "expiry")}
	}
	copy(r.Payment[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	return r
}

func TestRequestOnTheWireIsTheIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRequest(t)
		wire := r.AppendJSON(nil)
		if !json.Valid(wire) {
			t.Fatalf("not JSON: %s", wire)
		}
		got, err := ParseRequest(wire)
		if err != nil || got != r {
			t.Fatalf("%s\n%+v\n%+v\n%v", wire, r, got, err)
		}
	})
}

func TestRequestRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  Reason
		field string
	}{
		{`{"ammount":{"minor":1,"currency":"CNY"}}`, FieldUnknown, "/ammount"},
		{`{"key":"a","key":"b"}`, MessageMalformed, "/key"},
		{`{"amount":{"minor":1.5,"currency":"CNY"}}`, FieldInvalid, "/amount/minor"},
		{`{"amount":{"minor":1e3,"currency":"CNY"}}`, FieldInvalid, "/amount/minor"},
		{`{"amount":{"minor":1,"currency":"XYZ"}}`, CurrencyUnknown, "/amount/currency"},
		{`{"amount":{"minor":1}}`, FieldMissing, "/amount"},
		{`{"amount":{"minor":99999999999999999999,"currency":"CNY"}}`, FieldInvalid, "/amount/minor"},
		{`{"key":"a"} x`, MessageMalformed, ""},
		{`{"key":"a"`, MessageMalformed, "/key"},
		{`{"key":"a`, MessageMalformed, "/key"},
		{"{\"key\":\"\x00\"}", MessageMalformed, "/key"},
		{"{\"key\":\"\xff\"}", MessageMalformed, "/key"},
		{`{"key":"a b"}`, FieldInvalid, "/key"},
		{`{"key":"` + strings.Repeat("k", 65) + `"}`, FieldInvalid, "/key"},
		{`{"payment":"pay_1"}`, FieldInvalid, "/payment"},
		{`{"reason":"TM-0001"}`, FieldInvalid, "/reason"},
		{`{"budget_ms":600001}`, FieldInvalid, "/budget_ms"},
		{`[]`, MessageMalformed, ""},
		{``, MessageMalformed, ""},
		{`{"key":"` + strings.Repeat(" ", MaxMessage) + `"}`, MessageTooLong, ""},
	} {
		_, err := ParseRequest([]byte(c.text))
		var e *Error
		if !errors.As(err, &e) || e.Reason != c.want || e.Field != c.field {
			t.Errorf("%.60q: got %v, want %s at %q", c.text, err, c.want, c.field)
		}
	}
}

func TestAnswerWithoutAnOutcomeIsNoAnswer(t *testing.T) {
	for _, text := range []string{`{}`, `{"outcome":"yes"}`, `{"status":"approved"}`, `{"outcome":"approved","amount":{"minor":1}}`, `{"outcome":true}`} {
		if a, err := ParseAnswer([]byte(text)); err == nil || a.Outcome != Unknown {
			t.Errorf("%s: taken as %s", text, a.Outcome)
		}
	}
	a, err := ParseAnswer([]byte(`{"outcome":"approved","x":{"y":[1,{"z":null}],"w":-1.5e3},"v":true}`))
	if err != nil || a.Outcome != Approved {
		t.Errorf("a newer scheme that says more is not understood: %v", err)
	}
	deep := `{"outcome":"approved","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`
	if _, err := ParseAnswer([]byte(deep)); err == nil {
		t.Error("nesting has no bound")
	}
}

func TestAnswerOnTheWireIsTheIdentity(t *testing.T) {
	a := Answer{Payment: PaymentID{1}, Outcome: Declined, Status: Refused, Reason: OverCap, Scheme: "wechat", Issuer: "w", Acquirer: "a", Amount: Money{1250, CNY},
		SchemeRef: "R1", Approval: "000001", At: 1_790_000_000_123, Window: 7, Entry: 9, After: 2 * time.Second, Detail: "x"}
	got, err := ParseAnswer(a.AppendJSON(nil))
	if err != nil || got != a {
		t.Fatalf("%+v\n%+v\n%v", a, got, err)
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"key":"k","amount":{"minor":1,"currency":"CNY"},"merchant":{"name":"中"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRequest(data)
		if err != nil {
			return
		}
		again, err := ParseRequest(r.AppendJSON(nil))
		if err != nil || again != r {
			t.Fatalf("%q: %+v and %+v, %v", data, r, again, err)
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	f.Add([]byte(`{"outcome":"approved","status":"approved","x":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if a, err := ParseAnswer(data); err != nil && a != (Answer{}) {
			t.Fatal("an error comes with an answer")
		}
	})
}

func BenchmarkParseRequest(b *testing.B) {
	r := Request{Key: "bench-1", Code: "130100000000000001", Amount: Money{1250, CNY}, Merchant: Merchant{ID: "898100012340001", Name: "SHANGHAI NOODLE HOUSE", City: "SHANGHAI", Country: "CN", MCC: "5812", Terminal: "T0000001"}}
	wire := r.AppendJSON(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest(wire); err != nil {
			b.Fatal(err)
		}
	}
}
