package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
)

func TestPaymentIsApprovedAndARepeatGetsTheSameBytes(t *testing.T) {
	b := newBench(t)
	first := b.pay("k1", 1, 1250)
	a := b.answer(first, 200)
	if a.Outcome != tongma.Approved || a.Status != tongma.Paid || a.Issuer != "wallet" || a.Acquirer != "acq" || first.header.Get(tongma.HeaderReplay) != "" {
		t.Fatalf("%s %v", first.body, first.header)
	}
	again := b.pay("k1", 1, 1250)
	if b.answer(again, 200); !bytes.Equal(first.body, again.body) || again.header.Get(tongma.HeaderReplay) != "true" {
		t.Fatalf("repeat differs: %s %v", again.body, again.header)
	}
	quoted := b.pay(`"k1"`, 1, 1250)
	if b.answer(quoted, 200); !bytes.Equal(first.body, quoted.body) {
		t.Fatalf("the same key in quotes is another: %s", quoted.body)
	}
	got := b.ask("acq", "GET", "/v1/payments/"+a.Payment.String(), "")
	if b.answer(got, 200); !bytes.Equal(first.body, got.body) {
		t.Fatalf("GET differs: %s", got.body)
	}
}

func TestADeclineIsAnAnswerNotAnError(t *testing.T) {
	b := newBench(t)
	a := b.answer(b.pay("k1", 1, minorDeclined), 200)
	if a.Outcome != tongma.Declined || a.Reason != tongma.InsufficientFunds {
		t.Fatalf("%+v", a)
	}
	if a = b.answer(b.pay("k2", 1, 100), 200); a.Reason != tongma.CodeSpent {
		t.Fatalf("%+v", a)
	}
	if a = b.answer(b.pay("k3", 2, 20_000), 200); a.Outcome != tongma.Declined || a.Reason != tongma.OverCap {
		t.Fatalf("%+v", a)
	}
}

func TestWhatIsNotDecidedIs202WithThePlaceToAsk(t *testing.T) {
	b := newBench(t)
	got := b.pay("k1", 1, minorPending, headerBudget, "150")
	a := b.answer(got, 202)
	if a.Reason != tongma.PayerConfirming || got.header.Get("Location") != "/v1/payments/"+a.Payment.String() || got.header.Get("Retry-After") != "2" {
		t.Fatalf("%s %v", got.body, got.header)
	}
	if a = b.answer(b.pay("k2", 2, minorSilent, headerBudget, "100"), 202); a.Reason != tongma.SchemeSilent {
		t.Fatalf("%+v", a)
	}
	if again := b.pay("k1", 1, minorPending, headerBudget, "150"); again.header.Get(tongma.HeaderReplay) != "true" || b.answer(again, 202).Payment.IsZero() {
		t.Fatalf("%s %v", again.body, again.header)
	}
}

func TestRefundAndReverse(t *testing.T) {
	b := newBench(t)
	id := b.answer(b.pay("k1", 1, 1250), 200).Payment.String()
	refund := func(key string, minor int64) reply {
		return b.ask("acq", "POST", "/v1/payments/"+id+"/refunds", fmt.Sprintf(`{"amount":{"minor":%d,"currency":"CNY"}}`, minor), "Idempotency-Key", key)
	}
	a := b.answer(refund("r1", 250), 200)
	if a.Outcome != tongma.Approved || a.Original.String() != id || a.Amount.Minor != 250 {
		t.Fatalf("%+v", a)
	}
	if a = b.answer(refund("r2", 1001), 200); a.Reason != tongma.RefundExceeds {
		t.Fatalf("%+v", a)
	}
	b.refused(b.ask("acq", "POST", "/v1/payments/"+id+"/reverse", ""), 409, tongma.AlreadyRefunded)
	b.refused(b.ask("other", "POST", "/v1/payments/"+id+"/refunds", `{"amount":{"minor":1,"currency":"CNY"}}`, "Idempotency-Key", "r3"), 404, tongma.PaymentUnknown)

	id = b.answer(b.pay("k2", 2, 1000), 200).Payment.String()
	for range 2 { // a repeat gives the same end
		if a = b.answer(b.ask("acq", "POST", "/v1/payments/"+id+"/reverse", ""), 200); a.Status != tongma.ReversedBack {
			t.Fatalf("%+v", a)
		}
	}
	b.refused(b.ask("wallet", "POST", "/v1/payments/"+id+"/reverse", ""), 404, tongma.PaymentUnknown)
}

func TestAReversalByKeyStopsALatePayment(t *testing.T) {
	b := newBench(t)
	a := b.answer(b.ask("acq", "POST", "/v1/reversals", `{"of_key":"k1"}`), 200)
	if a.Status != tongma.ReversedBack {
		t.Fatalf("%+v", a)
	}
	if a = b.answer(b.pay("k1", 1, 1250), 200); a.Outcome != tongma.Declined || a.Reason != tongma.ReversedBeforeOriginal {
		t.Fatalf("%+v", a)
	}
	b.refused(b.ask("acq", "POST", "/v1/reversals", `{}`), 400, tongma.FieldMissing)
	b.refused(b.ask("acq", "POST", "/v1/reversals", ``), 400, tongma.FieldMissing)
}

func TestAWalletResolvesAndTransfers(t *testing.T) {
	b := newBench(t)
	body := fmt.Sprintf(`{"code":%q,"amount":{"minor":700,"currency":"CNY"}}`, shopCode(t))
	got := b.ask("wallet", "POST", "/v1/resolve", body)
	r, err := tongma.ParseResolution(got.body)
	if got.status != 200 || err != nil || len(r.Candidates) != 1 || r.Candidates[0].Participant != "acq" || r.Merchant.Name != "NORTH SHOP" {
		t.Fatalf("%d %v %s", got.status, err, got.body)
	}
	a := b.answer(b.ask("wallet", "POST", "/v1/transfers", body, "Idempotency-Key", "t1"), 200)
	if a.Outcome != tongma.Approved || a.Issuer != "wallet" || a.Acquirer != "acq" {
		t.Fatalf("%+v", a)
	}
	b.refused(b.ask("operator", "POST", "/v1/resolve", body), 403, tongma.NotPermittedHere)
	got = b.ask("wallet", "POST", "/v1/resolve", `{"code":"not a code"}`)
	if r, err = tongma.ParseResolution(got.body); err != nil || r.Reason == tongma.NoReason || len(r.Candidates) != 0 {
		t.Fatalf("%v %s", err, got.body)
	}
}

func TestEachRefusalHasItsStatusAndItsProblem(t *testing.T) {
	b := newBench(t)
	b.answer(b.pay("used", 1, 1250), 200)
	post := func(body string, extra ...string) reply {
		return b.ask("acq", "POST", "/v1/payments", body, append([]string{"Idempotency-Key", "k"}, extra...)...)
	}
	good := payBody(2, 100)
	long := strings.Repeat("k", tongma.MaxKey+1)
	for name, c := range map[string]struct {
		got    reply
		status int
		reason tongma.Reason
		field  string
	}{
		"no token":                   {b.ask("", "POST", "/v1/payments", good), 401, tongma.NotAuthenticated, ""},
		"wrong token":                {b.ask("nobody", "POST", "/v1/payments", good), 401, tongma.NotAuthenticated, ""},
		"other kind of token":        {b.ask("", "POST", "/v1/payments", good, "Authorization", "Basic dG9rLWFjcTo="), 401, tongma.NotAuthenticated, ""},
		"operator pays":              {b.ask("operator", "POST", "/v1/payments", good, "Idempotency-Key", "k"), 403, tongma.NotPermittedHere, ""},
		"not in the directory":       {b.ask("stranger", "POST", "/v1/payments", good, "Idempotency-Key", "k"), 403, tongma.ParticipantUnknown, ""},
		"no key":                     {post(good, "Idempotency-Key", ""), 400, tongma.KeyMissing, "Idempotency-Key"},
		"key too long":               {post(good, "Idempotency-Key", long), 400, tongma.FieldInvalid, "/key"},
		"key with a space":           {post(good, "Idempotency-Key", "a b"), 400, tongma.FieldInvalid, "/key"},
		"two keys that differ":       {post(`{"key":"other",` + good[1:]), 400, tongma.FieldInvalid, "/key"},
		"not JSON":                   {post(`pay me`), 400, tongma.MessageMalformed, ""},
		"something behind":           {post(good + "{}"), 400, tongma.MessageMalformed, ""},
		"empty":                      {post("", "Content-Type", "application/json"), 400, tongma.MessageMalformed, ""},
		"unknown field":              {post(`{"amout":1}`), 400, tongma.FieldUnknown, "/amout"},
		"field of the switch":        {post(`{"issuer":"other",` + good[1:]), 400, tongma.FieldInvalid, "/issuer"},
		"field of another operation": {post(`{"of_key":"used",` + good[1:]), 400, tongma.FieldInvalid, "/of_key"},
		"no code":                    {post(`{"amount":{"minor":1,"currency":"CNY"}}`), 400, tongma.FieldMissing, "/code"},
		"no amount":                  {post(`{"code":"130000000000000002"}`), 400, tongma.AmountMissing, "/amount"},
		"amount of nothing":          {post(payBody(2, 0)), 422, tongma.AmountInvalid, "/amount/minor"},
		"decimal amount":             {post(strings.Replace(good, "100", "1.00", 1)), 400, tongma.FieldInvalid, "/amount/minor"},
		"unknown currency":           {post(strings.Replace(good, "CNY", "XXX", 1)), 422, tongma.CurrencyUnknown, "/amount/currency"},
		"too long":                   {post(`{"order":"` + strings.Repeat("x", maxBody) + `"}`), 413, tongma.MessageTooLong, ""},
		"content type":               {post(good, "Content-Type", "text/plain"), 415, tongma.MessageMalformed, ""},
		"no content type":            {post(good, "Content-Type", ""), 415, tongma.MessageMalformed, ""},
		"other character set":        {post(good, "Content-Type", "application/json; charset=gbk"), 415, tongma.MessageMalformed, ""},
		"budget":                     {post(good, headerBudget, "soon"), 400, tongma.FieldInvalid, headerBudget},
		"budget too long":            {post(good, headerBudget, "600001"), 400, tongma.FieldInvalid, headerBudget},
		"key with another amount":    {b.pay("used", 1, 1251), 422, tongma.ExistsOtherAmount, "/key"},
		"key with another code":      {b.pay("used", 2, 1250), 422, tongma.ExistsOtherCode, "/key"},
		"payment of nobody":          {b.ask("acq", "GET", "/v1/payments/pay_01jd8v3k9r6x2m5n7q8s4t0w1z", ""), 404, tongma.PaymentUnknown, ""},
		"no payment id":              {b.ask("acq", "GET", "/v1/payments/42", ""), 404, tongma.PaymentUnknown, ""},
		"path not there":             {b.ask("acq", "GET", "/v1/nothing", ""), 404, tongma.OperationUnknown, ""},
		"method not there":           {b.ask("acq", "DELETE", "/v1/payments", ""), 405, tongma.OperationUnknown, ""},
		"page of another origin":     {post(good, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), 403, tongma.NotPermittedHere, ""},
		"limit":                      {b.ask("acq", "GET", "/v1/payments?limit=0", ""), 400, tongma.FieldInvalid, "?limit"},
		"limit too high":             {b.ask("acq", "GET", "/v1/windows?limit=100000", ""), 400, tongma.FieldInvalid, "?limit"},
		"other original than path": {b.ask("acq", "POST", "/v1/payments/pay_01jd8v3k9r6x2m5n7q8s4t0w1z/reverse", `{"original":"pay_01jd8v3k9r6x2m5n7q8s4t0w1a"}`),
			400, tongma.FieldInvalid, "/original"},
	} {
		t.Run(name, func(t *testing.T) {
			b := *b
			b.t = t
			p := b.refused(c.got, c.status, c.reason)
			if p.Field != c.field && c.field != "" {
				t.Errorf("field %q, want %q", p.Field, c.field)
			}
			if p.Outcome != "not_executed" || p.Type != tongma.ProblemType+p.Code || strings.Contains(string(c.got.body), "130000") {
				t.Errorf("%s", c.got.body)
			}
			if c.status == 401 && c.got.header.Get("WWW-Authenticate") == "" || c.status == 405 && c.got.header.Get("Allow") == "" {
				t.Errorf("%v", c.got.header)
			}
		})
	}
	if n := decode[PaymentList](t, b.ask("operator", "GET", "/v1/payments", "")); len(n.Payments) != 1 {
		t.Fatalf("a refusal left %d payments behind", len(n.Payments)-1)
	}
}

func TestPaymentsOfOthersAreUnknown(t *testing.T) {
	b := newBench(t)
	id := b.answer(b.pay("k1", 1, 1250), 200).Payment.String()
	b.answer(b.ask("wallet", "GET", "/v1/payments/"+id, ""), 200)
	b.answer(b.ask("operator", "GET", "/v1/payments/"+id, ""), 200)
	b.refused(b.ask("other", "GET", "/v1/payments/"+id, ""), 404, tongma.PaymentUnknown)
	for name, n := range map[string]int{"acq": 1, "wallet": 1, "operator": 1, "other": 0} {
		if list := decode[PaymentList](t, b.ask(name, "GET", "/v1/payments", "")); len(list.Payments) != n {
			t.Errorf("%s sees %d payments, want %d", name, len(list.Payments), n)
		}
	}
	if list := decode[PaymentList](t, b.ask("acq", "GET", "/v1/payments?key=k1", "")); len(list.Payments) != 1 || list.Payments[0].Payment != id || list.Payments[0].Amount != "12.50" {
		t.Errorf("%+v", list)
	}
	if list := decode[PaymentList](t, b.ask("wallet", "GET", "/v1/payments?key=k1", "")); len(list.Payments) != 0 {
		t.Errorf("another's key finds %+v", list)
	}
}

func TestAStoppedJournalIsNoAnswerAndSaysWhatBecameOfTheMoney(t *testing.T) {
	b := newBench(t)
	b.store.Fail(journal.StopBefore)
	a := b.answer(b.pay("k1", 1, 1250), 202) // whether this one was written, the next start tells
	if a.Outcome != tongma.Unknown || a.Reason != tongma.JournalInDoubt {
		t.Fatalf("%+v", a)
	}
	p := b.refused(b.pay("k2", 2, 1250), 503, tongma.JournalStopped)
	if p.Outcome != "not_executed" {
		t.Fatalf("%+v", p)
	}
	b.refused(b.ask("acq", "GET", "/v1/positions", ""), 503, tongma.JournalStopped)
}

func TestTooManyAtOnceAreTurnedAway(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxInFlight = 1 })
	b.scheme.wait = 250 * time.Millisecond
	first := make(chan reply)
	go func() { first <- b.pay("k1", 1, minorSlow) }()
	for b.api.flying.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if got := b.pay("k2", 2, 100); got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	} else {
		b.refused(got, 503, tongma.Overloaded)
	}
	b.answer(<-first, 200)
	b.answer(b.pay("k2", 2, 100), 200)
}

// The server's own limits are for those who hold it up, not for those who wait.
func TestAPaymentMayTakeLongerThanTheServerAllowsForOthers(t *testing.T) {
	b := newBench(t)
	b.scheme.wait = 250 * time.Millisecond
	if a := b.answer(b.pay("k1", 1, minorSlow), 200); a.Outcome != tongma.Approved {
		t.Fatalf("%+v", a)
	}
}

func TestTheTraceOfTheAskerReachesTheScheme(t *testing.T) {
	b := newBench(t)
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	b.answer(b.pay("k1", 1, 100, "Traceparent", "00-"+id+"-00f067aa0ba902b7-01"), 200)
	if got := b.scheme.trace.Load(); got != id {
		t.Fatalf("trace %v", got)
	}
}

// BenchmarkPay is a payment over HTTP on loopback, with a journal in memory and a
// scheme that answers at once: what the door and the engine themselves take.
func BenchmarkPay(bench *testing.B) {
	b := newBench(bench)
	b.client.Transport = &http.Transport{MaxIdleConnsPerHost: 64}
	var serial atomic.Int64
	bench.ReportAllocs()
	bench.SetParallelism(16)
	bench.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := serial.Add(1)
			r, _ := http.NewRequest("POST", b.url+"/v1/payments", strings.NewReader(payBody(int(n), 1)))
			r.Header.Set("Authorization", "Bearer tok-acq")
			r.Header.Set("Content-Type", jsonType)
			r.Header.Set(tongma.HeaderKey, strconv.FormatInt(n, 10))
			answer, err := b.client.Do(r)
			if err != nil || answer.StatusCode != 200 {
				bench.Error(err, answer)
				return
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
	})
}

// The document's shapes are written by hand beside package tongma's own.
func TestTheDocumentKnowsEveryMemberOfTheCanonicalMessages(t *testing.T) {
	b := newBench(t)
	m, mc := tongma.Money{Minor: 1, Currency: tongma.CNY}, tongma.Merchant{ID: "1", Name: "2", City: "3", Country: "CN", MCC: "5411", Terminal: "4"}
	id := tongma.PaymentID{1}
	x := tongma.Exchange{Dealer: "d", Quote: "q", Rate: "r", Source: m, Target: m, Expiry: 1}
	answer := tongma.Answer{Payment: id, Original: id, Reason: 2009, Scheme: "s", Issuer: "i", Acquirer: "a", Amount: m, Exchange: x, SchemeRef: "r", Approval: "1", At: 1, Window: 1, Entry: 1, After: time.Second, Detail: "d"}
	resolution := tongma.Resolution{Candidates: []tongma.Candidate{{Scheme: "s", Participant: "p", Rule: "r", Path: "p"}}, Merchant: mc, Amount: m, Exchange: x, Reason: 1001, Detail: "d"}
	problem := tongma.Problem{Type: "t", Detail: "d", Field: "f", Offset: 1, Payment: id, Next: []string{"n"}}
	pay := tongma.Request{Key: "k", Code: "c", Amount: m, Merchant: mc, Order: "o", Budget: time.Second}
	resolve, transfer := pay, pay
	resolve.PayIn, transfer.PayIn, transfer.Quote = tongma.HKD, tongma.HKD, "q"
	refund := tongma.Request{Key: "k", Original: id, Amount: m, Merchant: mc, Order: "o", Budget: time.Second}
	reversal := tongma.Request{Key: "k", Original: id, OfKey: "k", Reason: 2013, Budget: time.Second}
	var doc struct {
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(b.api.openapi, &doc); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"Answer": answer.AppendJSON(nil), "Resolution": resolution.AppendJSON(nil), "Problem": problem.AppendJSON(nil), "PaymentRequest": pay.AppendJSON(nil),
		"ResolveRequest": resolve.AppendJSON(nil), "TransferRequest": transfer.AppendJSON(nil), "Exchange": x.AppendJSON(nil), "RefundRequest": refund.AppendJSON(nil), "ReversalRequest": reversal.AppendJSON(nil)} {
		var members map[string]any
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
		properties := doc.Components.Schemas[name].Properties
		for member := range members {
			if _, ok := properties[member]; !ok {
				t.Errorf("%s lacks %s", name, member)
			}
		}
		if len(properties) != len(members) {
			t.Errorf("%s has %d members in the document, %d in fact", name, len(properties), len(members))
		}
	}
}
