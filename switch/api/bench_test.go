package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/schemes"
	switching "github.com/tongma/tongma/switch"
)

const market = `
name: test
rules: default
participants:
  - {id: acq, name: A, country: CN, roles: [acquirer], acquirer_ids: ["00010344"], issuer_code: "2001", caps: {CNY: "1000.00"}, accepts: all,
     accounts: [{agent: bank, currency: CNY, account: A-1, number: ACQ}]}
  - {id: wallet, name: W, country: CN, roles: [acquirer, issuer], caps: {CNY: "100.00"}, accepts: all,
     accounts: [{agent: bank, currency: CNY, account: W-1, number: WALLET}]}
  - {id: other, name: O, country: CN, roles: [acquirer, issuer], caps: {CNY: "100.00"}, accepts: all,
     accounts: [{agent: bank, currency: CNY, account: O-1, number: OTHER}]}
schemes:
  - {id: wechat, name: W, participant: wallet, countries: [CN], currencies: [CNY], authorise_timeout: 300ms, inquire_every: 200ms, reverse_every: 200ms}
  - {id: north, name: N, participant: acq, countries: [CN], currencies: [CNY]}
agents:
  - id: bank
    name: Bank
    number: BANK
    currencies: [CNY]
    system: TEST
    switch: {name: Switch, number: SWITCH, accounts: {CNY: {account: S-1}}}
calendar:
  calendars:
    - {id: cny-cn, version: 1, zone: Asia/Shanghai, valid: {from: 2026-01-01, to: 2099-12-31}, weekend: [saturday, sunday]}
  currencies: {CNY: cny-cn}
  agents: {bank: cny-cn}
  schedules:
    - {id: daily, model: gross, currency: CNY, agent: bank, zone: Asia/Shanghai, cycles: [{id: noon, at: "12:00"}, {id: night, at: "22:00", value_days: 1}]}
settlement:
  agent: bank
  models:
    - {id: fast, method: gross, schedule: daily, agent: bank, currencies: [CNY], schemes: [north]}
disputes:
  calendar: cny-cn
  answer_days: 5
  pre_arbitration_days: 3
  arbitration_days: 4
  ruling_days: 10
  max_age_days: 120
  reasons:
    - {code: not-received, title: Goods or services were not received}
`

// scheme approves, unless the amount says otherwise.
type scheme struct {
	wait  time.Duration
	trace atomic.Value // id of the trace that the latest question came with
}

const (
	minorDeclined = 4001 // no funds
	minorSilent   = 4002 // never an answer
	minorPending  = 4003 // the payer confirms, and goes on confirming
	minorSlow     = 4004 // approves after wait
)

func (s *scheme) first(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	s.trace.Store(trace.SpanContextFromContext(ctx).TraceID().String())
	switch r.Amount.Minor {
	case minorDeclined:
		return tongma.Answer{Outcome: tongma.Declined, Reason: tongma.InsufficientFunds}, nil
	case minorPending:
		return tongma.Answer{Reason: tongma.PayerConfirming}, nil
	case minorSilent:
		<-ctx.Done()
		return tongma.Answer{}, &tongma.Error{Op: "scheme", Reason: tongma.SchemeSilent}
	case minorSlow:
		time.Sleep(s.wait)
	}
	return tongma.Answer{Outcome: tongma.Approved, SchemeRef: "REF", Approval: "123456"}, nil
}

func (s *scheme) Authorise(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return s.first(ctx, r)
}
func (s *scheme) Accept(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return s.first(ctx, r)
}
func (s *scheme) Refund(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return s.first(ctx, r)
}
func (s *scheme) Inquire(_ context.Context, r tongma.Request) (tongma.Answer, error) {
	if r.Amount.Minor == minorSilent {
		return tongma.Answer{}, &tongma.Error{Op: "scheme", Reason: tongma.SchemeSilent}
	}
	return tongma.Answer{Reason: tongma.PayerConfirming}, nil
}
func (s *scheme) Reverse(context.Context, tongma.Request) (tongma.Answer, error) {
	return tongma.Answer{Outcome: tongma.Approved, Status: tongma.ReversedBack}, nil
}
func (s *scheme) Consult(context.Context, tongma.Request) (tongma.Answer, error) {
	return tongma.Answer{Outcome: tongma.Approved}, nil
}

// people authenticates "tok-<name>"; "tok-operator", "tok-ann" and "tok-bob" are
// the operator's. With one of them, nothing that takes two can be done.
type people struct{ operators int }

func (people) Identify(token string) (Caller, bool) {
	switch token {
	case "tok-operator", "tok-ann", "tok-bob":
		return Caller{Operator: token[4:]}, true
	case "tok-acq", "tok-wallet", "tok-other", "tok-stranger":
		return Caller{Participant: tongma.ParticipantID(token[4:])}, true
	}
	return Caller{}, false
}

func (p people) Operators() int { return p.operators }

type bench struct {
	t      testing.TB
	api    *API
	engine *switching.Engine
	store  *journal.Memory
	scheme *scheme
	url    string
	client *http.Client
}

// newBench serves a real engine on loopback.
func newBench(t testing.TB, change ...func(*Config)) *bench {
	t.Helper()
	d, err := schemes.Parse(1, []byte(market))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, store: journal.NewMemory(), scheme: &scheme{}, client: &http.Client{}}
	feed := NewFeed()
	b.engine, err = switching.Open(context.Background(), switching.Options{Store: b.store, Registry: schemes.NewMemoryRegistry(d), OnCommit: feed.Committed,
		Adapters: map[tongma.SchemeID]switching.Adapter{"wechat": b.scheme, "north": b.scheme}, DoubtFor: time.Minute,
		Digest: func(code string) [16]byte { var d [16]byte; copy(d[:], code[max(0, len(code)-16):]); return d }})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Engine: b.engine, Auth: people{3}, Store: b.store, Feed: feed, Version: "test"}
	for _, f := range change {
		f(&cfg)
	}
	if b.api, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(b.api)
	server.Config = Server("", b.api)
	// Far below what a payment may take: whatever takes longer must say so itself.
	server.Config.ReadTimeout, server.Config.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	server.Start()
	b.url = server.URL
	t.Cleanup(func() { b.api.Close(); server.Close(); b.engine.Close() })
	return b
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// ask sends a request as name; extra are pairs of header names and values. An
// empty value removes the header.
func (b *bench) ask(name, method, path, body string, extra ...string) reply {
	b.t.Helper()
	r, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if name != "" {
		r.Header.Set("Authorization", "Bearer tok-"+name)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(extra); i += 2 {
		if r.Header.Set(extra[i], extra[i+1]); extra[i+1] == "" {
			r.Header.Del(extra[i])
		}
		if extra[i] == "Host" {
			r.Host = extra[i+1]
		}
	}
	answer, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	got := reply{answer.StatusCode, answer.Header, text}
	b.documented(method, path, got)
	return got
}

// documented fails if the document does not foresee such an answer.
func (b *bench) documented(method, path string, got reply) {
	b.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	op := b.operation(method, path)
	if op == nil {
		return
	}
	status := fmt.Sprint(got.status)
	want, ok := op["responses"].(map[string]any)[status].(map[string]any)
	if !ok {
		b.t.Errorf("%s %s: status %s is not in the document: %s", method, path, status, got.body)
		return
	}
	kind, _, _ := strings.Cut(got.header.Get("Content-Type"), ";")
	if _, ok := want["content"].(map[string]any)[kind]; !ok {
		b.t.Errorf("%s %s: %s with content type %q is not in the document", method, path, status, kind)
	}
	if kind != problemType {
		return
	}
	p, err := tongma.ParseProblem(got.body)
	if err != nil {
		b.t.Fatal(err)
	}
	if reasons := fmt.Sprint(want["x-tongma-reasons"]); !strings.Contains(reasons, p.Code) && p.Status == got.status {
		b.t.Errorf("%s %s: %s is not among the document's reasons for %s: %s", method, path, p.Code, status, reasons)
	}
}

// operation finds what the document says of a method and a path.
func (b *bench) operation(method, path string) map[string]any {
	var doc struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal(b.api.openapi, &doc); err != nil {
		b.t.Fatal(err)
	}
	for template, item := range doc.Paths {
		mux := http.NewServeMux()
		mux.HandleFunc(template, func(http.ResponseWriter, *http.Request) {})
		if _, pattern := mux.Handler(httptest.NewRequest(method, path, nil)); pattern == template {
			if op, ok := item[strings.ToLower(method)].(map[string]any); ok && (!strings.Contains(template, "{id}") || path != "/v1/windows/close") {
				return op
			}
		}
	}
	return nil
}

func (b *bench) answer(got reply, status int) tongma.Answer {
	b.t.Helper()
	if got.status != status || got.header.Get("Content-Type") != jsonType {
		b.t.Fatalf("status %d, %s: %s", got.status, got.header.Get("Content-Type"), got.body)
	}
	a, err := tongma.ParseAnswer(got.body)
	if err != nil {
		b.t.Fatal(err)
	}
	if !bytes.Equal(a.AppendJSON(nil), got.body) {
		b.t.Fatalf("not the canonical bytes: %s", got.body)
	}
	return a
}

func (b *bench) refused(got reply, status int, reason tongma.Reason) tongma.Problem {
	b.t.Helper()
	p, err := tongma.ParseProblem(got.body)
	if err != nil || got.header.Get("Content-Type") != problemType {
		b.t.Fatalf("status %d and no problem: %v %s", got.status, err, got.body)
	}
	if got.status != status || p.Status != status || p.Code != reason.Code() {
		b.t.Fatalf("status %d, %s, want %d, %s %s: %s", got.status, p.Code, status, reason.Code(), reason, got.body)
	}
	return p
}

func decode[T any](t testing.TB, got reply) T {
	t.Helper()
	var v T
	if got.status != http.StatusOK {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	if err := json.Unmarshal(got.body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// payBody pays minor CNY with a payer's code of its own.
func payBody(serial int, minor int64) string {
	return fmt.Sprintf(`{"code":"13%016d","amount":{"minor":%d,"currency":"CNY"},"merchant":{"id":"M1"}}`, serial, minor)
}

func (b *bench) pay(key string, serial int, minor int64, extra ...string) reply {
	b.t.Helper()
	return b.ask("acq", "POST", "/v1/payments", payBody(serial, minor), append([]string{"Idempotency-Key", key}, extra...)...)
}

// shopCode is a merchant's code of acquirer 2001.
func shopCode(t testing.TB) string {
	t.Helper()
	account, err := codespec.UnifiedAccount{Acquirer: "2001", Merchant: "SHOP7"}.Account()
	if err != nil {
		t.Fatal(err)
	}
	m, err := emv.Draft{Accounts: []emv.Account{account}, MCC: "5411", Currency: "156", Country: "CN", Name: "NORTH SHOP", City: "HARBIN"}.Build()
	if err != nil {
		t.Fatal(err)
	}
	text, err := codespec.Encode(codespec.Code{MPM: m})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
