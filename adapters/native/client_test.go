package native_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
)

// brain is a switch made of two functions.
type brain struct {
	do      func(context.Context, tongma.Request) (tongma.Answer, error)
	resolve func(context.Context, tongma.Request) (native.Resolution, error)
}

func (b brain) Do(ctx context.Context, r tongma.Request) (tongma.Answer, error) { return b.do(ctx, r) }
func (b brain) Resolve(ctx context.Context, r tongma.Request) (native.Resolution, error) {
	return b.resolve(ctx, r)
}

func serveSwitch(t *testing.T, nc *nats.Conn, h native.Handler, opts native.SwitchOptions) *native.SwitchServer {
	t.Helper()
	opts.Log = quiet
	s, err := native.ServeSwitch(context.Background(), nc, h, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

func clientOf(t *testing.T, nc *nats.Conn, p tongma.ParticipantID) *native.Client {
	t.Helper()
	c, err := native.NewClient(nc, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func payRequest(key string) tongma.Request {
	return tongma.Request{Key: key, Code: "130112345678901234", Amount: yuan(1250), Merchant: tongma.Merchant{ID: "M1"}}
}

// Every operation reaches the switch with the participant of the subject, the
// operation and the asker's time, and its answer comes back whole.
func TestClientOperations(t *testing.T) {
	s := startServer(t, "")
	serveSwitch(t, dial(t, s), brain{do: func(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
		if end, ok := ctx.Deadline(); !ok || time.Until(end) > 5*time.Second || r.Budget > 5*time.Second || r.From != "acq-1" || r.Acquirer != "other" {
			t.Errorf("request %+v", r)
		}
		return tongma.Answer{Payment: payment(1), Outcome: tongma.Approved, Status: tongma.Paid, Amount: r.Amount, Detail: r.Op.String(), Window: 3}, nil
	}}, native.SwitchOptions{})
	c := clientOf(t, dial(t, s), "acq-1")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for op, call := range map[string]func(context.Context, tongma.Request) (tongma.Answer, error){
		"pay": c.Pay, "transfer": c.Transfer, "inquire": c.Inquire, "reverse": c.Reverse, "refund": c.Refund,
	} {
		r := payRequest("k-" + op)
		r.Acquirer = "other" // what a body says of the asker is not believed
		a, err := call(ctx, r)
		want := tongma.Answer{Payment: payment(1), Outcome: tongma.Approved, Status: tongma.Paid, Amount: yuan(1250), Detail: op, Window: 3}
		if err != nil || a != want {
			t.Errorf("%s: %+v, %v", op, a, err)
		}
	}
}

// A resolution travels whole.
func TestClientResolve(t *testing.T) {
	s := startServer(t, "")
	want := native.Resolution{
		Candidates: []native.Candidate{{Scheme: "khqr", Participant: "bank-b", Rule: "guid", Path: "29.00"}}, Directory: 42,
		Merchant: tongma.Merchant{ID: "M1", Name: "ហាង ភី", City: "Phnom Penh", Country: "KH", MCC: "5812", Terminal: "T1"},
		Amount:   yuan(1250), Reason: tongma.CodeExpired, Detail: "an hour ago",
	}
	serveSwitch(t, dial(t, s), brain{resolve: func(_ context.Context, r tongma.Request) (native.Resolution, error) {
		if r.Op != tongma.OpResolve || r.From != "wallet-a" {
			t.Errorf("request %+v", r)
		}
		return want, nil
	}}, native.SwitchOptions{})
	got, err := clientOf(t, dial(t, s), "wallet-a").Resolve(t.Context(), tongma.Request{Code: "000201"})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

// What the switch refuses arrives as the error that it was.
func TestClientProblems(t *testing.T) {
	s := startServer(t, "")
	refusal := &tongma.Error{Op: "switch", Reason: tongma.OverCap, Field: "/amount", Offset: 3, Detail: "by a little"}
	answers := map[string]error{"known": refusal, "strange": errors.New("code 130112345678901234"), "panic": nil}
	serveSwitch(t, dial(t, s), brain{do: func(_ context.Context, r tongma.Request) (tongma.Answer, error) {
		if r.Key == "panic" {
			panic(r.Code)
		}
		return tongma.Answer{}, answers[r.Key]
	}}, native.SwitchOptions{})
	c := clientOf(t, dial(t, s), "acq")
	_, err := c.Pay(t.Context(), payRequest("known"))
	var e *tongma.Error
	if !errors.As(err, &e) || e.Reason != tongma.OverCap || e.Field != "/amount" || e.Offset != 3 || e.Detail != "by a little" {
		t.Errorf("%v", err)
	}
	for _, key := range []string{"strange", "panic"} {
		a, err := c.Pay(t.Context(), payRequest(key))
		if a.Outcome != tongma.Unknown || tongma.ReasonOf(err) != tongma.Internal || strings.Contains(err.Error(), "1301") {
			t.Errorf("%s: %v, %v", key, a.Outcome, err)
		}
	}
	_, err = c.Pay(t.Context(), payRequest(""))
	wantReason(t, err, tongma.KeyMissing)
}

// A subject that names no participant, a header that contradicts the body, and a
// body without a key are refused before the switch hears of them.
func TestServeSwitchRefuses(t *testing.T) {
	s := startServer(t, "")
	serveSwitch(t, dial(t, s), brain{do: func(context.Context, tongma.Request) (tongma.Answer, error) {
		t.Error("the switch was called")
		return tongma.Answer{}, nil
	}}, native.SwitchOptions{})
	nc := dial(t, s)
	r := payRequest("k1")
	for _, c := range []struct {
		subject, key string
		body         []byte
		want         string
	}{
		{"tm.v1.Bad.pay", "", r.AppendJSON(nil), "participant-unknown"},
		{"tm.v1.event.pay", "", r.AppendJSON(nil), "participant-unknown"},
		{"tm.v1.acq.pay", "k2", r.AppendJSON(nil), "field-invalid"},
		{"tm.v1.acq.pay", "", []byte(`{}`), "key-missing"},
		{"tm.v1.acq.pay", "", []byte(`{`), "message-malformed"},
	} {
		m := &nats.Msg{Subject: c.subject, Data: c.body, Header: nats.Header{}}
		if c.key != "" {
			m.Header.Set(tongma.HeaderKey, c.key)
		}
		reply, err := nc.RequestMsg(m, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := native.ParseProblem(reply.Data); err != nil || p.Reason != c.want || p.Outcome != "not_executed" {
			t.Errorf("%s: %+v, %v; want %s", c.subject, p, err, c.want)
		}
	}
}

// More than the switch can take is answered at once: not executed.
func TestServeSwitchOverload(t *testing.T) {
	s := startServer(t, "")
	release := make(chan struct{})
	begun := make(chan struct{}, 8)
	serveSwitch(t, dial(t, s), brain{do: func(context.Context, tongma.Request) (tongma.Answer, error) {
		begun <- struct{}{}
		<-release
		return tongma.Answer{Outcome: tongma.Approved}, nil
	}}, native.SwitchOptions{Workers: 2, Queue: 1})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	nc := dial(t, s)
	c := clientOf(t, nc, "acq")
	inbox, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range []string{"a", "b", "queued"} {
		r := payRequest(key)
		if err := nc.PublishRequest(tongma.Subject("acq", tongma.OpPay), inbox.Subject, r.AppendJSON(nil)); err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			<-begun
		}
	}
	_, err = c.Pay(t.Context(), payRequest("over")) // behind the queued one, on the same connection
	wantReason(t, err, tongma.Overloaded)
	free()
	for range 3 {
		m, err := inbox.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := tongma.ParseAnswer(m.Data); err != nil || a.Outcome != tongma.Approved {
			t.Errorf("%+v, %v", a, err)
		}
	}
}

// PayUntilKnown repeats with the same key through silence, pending answers and
// refusals of single attempts, until the end is known.
func TestPayUntilKnown(t *testing.T) {
	s := startServer(t, "")
	var calls atomic.Int64
	serveSwitch(t, dial(t, s), brain{do: func(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
		if r.Key != "k1" {
			t.Errorf("key %q", r.Key)
		}
		switch calls.Add(1) {
		case 1:
			<-ctx.Done()
			return tongma.Answer{}, &tongma.Error{Reason: tongma.SchemeSilent}
		case 2:
			return tongma.Answer{}, &tongma.Error{Reason: tongma.Overloaded}
		case 3:
			return tongma.Answer{Reason: tongma.PayerConfirming, After: time.Millisecond}, nil
		}
		return tongma.Answer{Outcome: tongma.Declined, Status: tongma.Refused, Reason: tongma.PayerCancelled}, nil
	}}, native.SwitchOptions{})
	r := payRequest("k1")
	r.Budget = 50 * time.Millisecond
	a, err := clientOf(t, dial(t, s), "acq").PayUntilKnown(t.Context(), r)
	if err != nil || a.Reason != tongma.PayerCancelled || calls.Load() != 4 {
		t.Errorf("%+v, %v after %d calls", a, err, calls.Load())
	}
}

// Once in doubt, a switch that has gone is not "not executed".
func TestPayUntilKnownStaysInDoubt(t *testing.T) {
	s := startServer(t, "")
	far := dial(t, s)
	serveSwitch(t, far, brain{do: func(context.Context, tongma.Request) (tongma.Answer, error) {
		far.Close() // the switch dies in the middle
		return tongma.Answer{}, nil
	}}, native.SwitchOptions{})
	r := payRequest("k1")
	r.Budget = 50 * time.Millisecond
	c := clientOf(t, dial(t, s), "acq")
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	a, err := c.PayUntilKnown(ctx, r)
	wantReason(t, err, tongma.SchemeSilent)
	if a.Outcome != tongma.Unknown {
		t.Errorf("%+v", a)
	}
	_, err = c.Pay(t.Context(), r)
	wantReason(t, err, tongma.ShuttingDown) // this one alone was surely not sent
}

// Stop lets payments end and be answered; what comes later finds nobody.
func TestServeSwitchStops(t *testing.T) {
	s := startServer(t, "")
	begun := make(chan struct{})
	srv := serveSwitch(t, dial(t, s), brain{do: func(ctx context.Context, _ tongma.Request) (tongma.Answer, error) {
		close(begun)
		<-ctx.Done() // ends when Stop gives up waiting
		return tongma.Answer{Outcome: tongma.Approved, Status: tongma.Paid}, nil
	}}, native.SwitchOptions{})
	c := clientOf(t, dial(t, s), "acq")
	answered := make(chan error, 1)
	go func() { _, err := c.Pay(t.Context(), payRequest("k1")); answered <- err }()
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_ = srv.Stop(ctx)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	_, err := c.Pay(t.Context(), payRequest("k2"))
	wantReason(t, err, tongma.ShuttingDown)
}

// Events are replayed from where the participant left off, then followed, in
// order and whole.
func TestEvents(t *testing.T) {
	// The participant may do what README.md lists, and no more.
	mine := server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{
			"tm.v1.acq.*", "$JS.API.STREAM.INFO.EVT_acq", "$JS.API.CONSUMER.CREATE.EVT_acq.>", "$JS.API.CONSUMER.INFO.EVT_acq.>",
			"$JS.API.CONSUMER.DELETE.EVT_acq.>", "$JS.API.CONSUMER.MSG.NEXT.EVT_acq.>",
		}},
		Subscribe: &server.SubjectPermission{Allow: []string{tongma.InboxPrefix("acq") + ".>"}},
	}
	s := startServerWith(t, &server.Options{JetStream: true, StoreDir: t.TempDir(), Users: []*server.User{
		{Username: "switch", Password: "s"}, {Username: "acq", Password: "a", Permissions: &mine},
	}})
	nc := dial(t, s, nats.UserInfo("switch", "s"))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: tongma.EventStream("acq"), Subjects: []string{tongma.EventSubject("acq", ">")}}); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 20, 0, 0, 5e6, time.UTC)
	publish := func(n uint64) {
		a := tongma.Answer{Payment: payment(n), Outcome: tongma.Approved, Status: tongma.Paid}
		e := native.Event{ID: payment(n).String() + " 100%", Source: "/switch", Type: "payment.ended", Subject: payment(n).String(), Time: at, Data: a.AppendJSON(nil)}
		for range 2 { // the stream keeps the repeat out
			if _, err := js.PublishMsg(t.Context(), native.EventMsg("acq", &e)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := range uint64(3) {
		publish(n + 1)
	}
	c := clientOf(t, dial(t, s, nats.UserInfo("acq", "a"), nats.CustomInboxPrefix(tongma.InboxPrefix("acq"))), "acq")
	enough := errors.New("enough")
	next := uint64(2)
	err = c.Events(t.Context(), 2, func(e native.Event) error {
		a, err := e.Answer()
		if err != nil || e.Sequence != next || a.Payment != payment(next) || e.ID != payment(next).String()+" 100%" || e.Type != "payment.ended" || !e.Time.Equal(at) || e.Subject != a.Payment.String() {
			t.Errorf("event %d: %+v, %v", next, e, err)
		}
		switch next++; next {
		case 4:
			publish(4)
		case 5:
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Events(ctx, 5, func(native.Event) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with nothing to come: %v", err)
	}
	wantReason(t, clientOf(t, nc, "nobody").Events(t.Context(), 0, func(native.Event) error { return nil }), tongma.ParticipantUnknown)
}

// A participant with its own NKey may ask in its own name, and in no other.
func TestDialWithSeed(t *testing.T) {
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := user.PublicKey()
	seed, _ := user.Seed()
	opts := &server.Options{}
	opts.Nkeys = []*server.NkeyUser{{Nkey: public, Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"tm.v1.acq.*"}},
		Subscribe: &server.SubjectPermission{Allow: []string{tongma.InboxPrefix("acq") + ".>"}},
	}}}
	admin, _ := nkeys.CreateUser()
	adminPublic, _ := admin.PublicKey()
	opts.Nkeys = append(opts.Nkeys, &server.NkeyUser{Nkey: adminPublic})
	s := startServerWith(t, opts)
	far, err := nats.Connect(s.ClientURL(), nats.Nkey(adminPublic, admin.Sign))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(far.Close)
	serveSwitch(t, far, brain{do: func(_ context.Context, r tongma.Request) (tongma.Answer, error) {
		return tongma.Answer{Outcome: tongma.Approved, Status: tongma.Paid, Detail: string(r.From)}, nil
	}}, native.SwitchOptions{})

	file := filepath.Join(t.TempDir(), "acq.seed")
	if err := os.WriteFile(file, seed, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = native.Dial(s.ClientURL(), "acq", file)
	wantReason(t, err, tongma.NotAuthenticated)
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := native.Dial(s.ClientURL(), "acq", file)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if a, err := own.Pay(t.Context(), payRequest("k1")); err != nil || a.Detail != "acq" {
		t.Errorf("%+v, %v", a, err)
	}
	spoofed, err := native.Dial(s.ClientURL(), "other", file, nats.CustomInboxPrefix(tongma.InboxPrefix("acq")))
	if err != nil {
		t.Fatal(err)
	}
	defer spoofed.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = spoofed.Pay(ctx, payRequest("k2"))
	wantReason(t, err, tongma.SchemeSilent)
}
