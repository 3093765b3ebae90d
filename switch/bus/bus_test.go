package bus

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nkeys"

	"github.com/tongma/tongma"
)

const wait = 5 * time.Second

// user is a participant with its key.
type user struct {
	Participant
	pair nkeys.KeyPair
}

func newUser(t *testing.T, id tongma.ParticipantID, asks bool, schemes ...tongma.SchemeID) user {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	key, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return user{Participant{ID: id, PublicKey: key, Asks: asks, Schemes: schemes}, pair}
}

func start(t *testing.T, cfg Config, users ...user) *Server {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	for _, u := range users {
		cfg.Participants = append(cfg.Participants, u.Participant)
	}
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

// client is a participant's connection, and what the server refused it.
type client struct {
	*nats.Conn
	refused chan error
}

func join(t *testing.T, s *Server, u user, options ...nats.Option) *client {
	t.Helper()
	c := &client{refused: make(chan error, 100)}
	options = append([]nats.Option{
		nats.Nkey(u.PublicKey, u.pair.Sign), nats.CustomInboxPrefix(tongma.InboxPrefix(u.ID)),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.refused <- err }),
	}, options...)
	var err error
	if c.Conn, err = nats.Connect(s.URL(), options...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// mustRefuse requires that the server refuses exactly what act does.
func (c *client) mustRefuse(t *testing.T, what string, act func() error) {
	t.Helper()
	if err := act(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if err := c.FlushTimeout(wait); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	select {
	case err := <-c.refused:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s: refused with %v", what, err)
		}
	case <-time.After(wait):
		t.Errorf("%s: not refused", what)
	}
}

func (c *client) mustRefuseNothing(t *testing.T) {
	t.Helper()
	if err := c.FlushTimeout(wait); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-c.refused:
		t.Fatalf("refused: %v", err)
	default:
	}
}

func theSwitch(t *testing.T, s *Server) *nats.Conn {
	t.Helper()
	nc, err := s.Switch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// heard collects the subjects that a subscription of everything sees.
func heard(t *testing.T, nc *nats.Conn, subject string) func() []string {
	t.Helper()
	var mu sync.Mutex
	var subjects []string
	_, err := nc.Subscribe(subject, func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		subjects = append(subjects, m.Subject)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(wait); err != nil {
		t.Fatal(err)
	}
	return func() []string {
		nc.FlushTimeout(wait)
		time.Sleep(50 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		return subjects
	}
}

const local = "127.0.0.1:0"

func TestParticipantAsksUnderItsOwnNameOnly(t *testing.T) {
	shop, wallet := newUser(t, "shop", true), newUser(t, "wallet", true, "wallet-pay")
	s := start(t, Config{Listen: local}, shop, wallet)
	sw := theSwitch(t, s)
	seen := heard(t, sw, "tm.v1.>")
	if _, err := sw.Subscribe("tm.v1.shop.pay", func(m *nats.Msg) { m.Respond([]byte("yes")) }); err != nil {
		t.Fatal(err)
	}
	sw.Flush()
	c := join(t, s, shop)
	m, err := c.Request("tm.v1.shop.pay", []byte("pay"), wait)
	if err != nil || string(m.Data) != "yes" {
		t.Fatalf("%v %v", m, err)
	}
	for _, subject := range []string{
		"tm.v1.wallet.pay", "tm.v1.shop.unheard-of", "tm.v1.shop", "tm.v1.adapter.wallet-pay.authorise", "tm.v1.event.shop.x",
		"tm.v1.event.wallet.x", "_INBOX_wallet.abc", "_INBOX_switch.abc", "_INBOX_shop.abc", "$SRV.PING", "$SYS.REQ.SERVER.PING", "anything",
	} {
		c.mustRefuse(t, "publish "+subject, func() error { return c.Publish(subject, []byte("x")) })
	}
	if got := fmt.Sprint(seen()); got != "[tm.v1.shop.pay]" {
		t.Fatalf("the switch heard %v", got)
	}
}

func TestParticipantThatDoesNotAskMayNot(t *testing.T) {
	wallet := newUser(t, "wallet", false, "wallet-pay")
	c := join(t, start(t, Config{Listen: local}, wallet), wallet)
	c.mustRefuse(t, "ask", func() error { return c.Publish("tm.v1.wallet.pay", nil) })
}

func TestParticipantHearsOnlyWhatIsItsOwn(t *testing.T) {
	shop, wallet := newUser(t, "shop", true), newUser(t, "wallet", true, "wallet-pay")
	s := start(t, Config{Listen: local}, shop, wallet)
	c := join(t, s, shop)
	for _, subject := range []string{
		">", "*.>", "tm.>", "tm.v1.>", "tm.v1.wallet.>", "tm.v1.shop.>", "tm.v1.adapter.>", "tm.v1.adapter.wallet-pay.>",
		"tm.v1.event.>", "tm.v1.event.*.x", "tm.v1.event.wallet.>", "_INBOX.>", "_INBOX_wallet.>", "_INBOX_switch.>", "_INBOX_*.>",
		"$SRV.PING", "$SRV.PING.adapter-wallet-pay", "$JS.>", "$SYS.>",
	} {
		c.mustRefuse(t, "subscribe "+subject, func() error { _, err := c.SubscribeSync(subject); return err })
	}
	for range 2 {
		c.mustRefuse(t, "serve", func() error { _, err := c.QueueSubscribeSync("tm.v1.adapter.wallet-pay.authorise", "q"); return err })
	}
	events, err := c.SubscribeSync(tongma.EventSubject("shop", ">"))
	if err != nil {
		t.Fatal(err)
	}
	c.mustRefuseNothing(t)
	sw := theSwitch(t, s)
	for _, p := range []tongma.ParticipantID{"wallet", "shop"} {
		if err := sw.Publish(tongma.EventSubject(p, "payment.ended"), []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := events.NextMsg(wait); err != nil || string(m.Data) != "shop" {
		t.Fatalf("%v %v", m, err)
	}
}

func TestAdapterServesItsSchemeAndAnswersOnce(t *testing.T) {
	wallet := newUser(t, "wallet", false, "wallet-pay")
	s := start(t, Config{Listen: local}, wallet)
	c := join(t, s, wallet)
	service, err := micro.AddService(c.Conn, micro.Config{Name: ServiceName("wallet-pay"), Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	var twice error
	err = service.AddEndpoint("authorise", micro.HandlerFunc(func(r micro.Request) {
		r.Respond([]byte("approved"))
		twice = c.Publish(r.Reply(), []byte("declined"))
	}), micro.WithEndpointSubject("tm.v1.adapter.wallet-pay.authorise"))
	if err != nil {
		t.Fatal(err)
	}
	c.mustRefuseNothing(t)
	sw := theSwitch(t, s)
	inbox := sw.NewRespInbox()
	answers, err := sw.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := sw.PublishRequest("tm.v1.adapter.wallet-pay.authorise", inbox, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if m, err := answers.NextMsg(wait); err != nil || string(m.Data) != "approved" {
		t.Fatalf("%v %v", m, err)
	}
	if m, err := answers.NextMsg(100 * time.Millisecond); err == nil {
		t.Fatalf("a second answer came through: %s", m.Data)
	}
	select {
	case err := <-c.refused:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Fatal(err)
		}
	case <-time.After(wait):
		t.Fatal("the second answer was not refused", twice)
	}
	for _, subject := range []string{"$SRV.PING", "$SRV.INFO." + ServiceName("wallet-pay"), "$SRV.STATS." + ServiceName("wallet-pay") + "." + service.Info().ID} {
		if m, err := sw.Request(subject, nil, wait); err != nil || !strings.Contains(string(m.Data), "adapter-wallet-pay") {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

// apiSubjects are what could read, write or destroy streams of others.
func apiSubjects(stream string) []string {
	return []string{
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.CREATE." + stream, "$JS.API.STREAM.UPDATE." + stream,
		"$JS.API.STREAM.DELETE." + stream, "$JS.API.STREAM.PURGE." + stream, "$JS.API.STREAM.MSG.DELETE." + stream, "$JS.API.STREAM.SNAPSHOT." + stream,
		"$JS.API.CONSUMER.CREATE." + stream, "$JS.API.CONSUMER.DURABLE.CREATE." + stream + ".c",
		"$JS.API.DIRECT.GET." + stream, "$JS.API.DIRECT.GET." + stream + ".tm.v1.event.shop.x", "$JS.API.CONSUMER.NAMES." + stream, "$JS.API.CONSUMER.LIST." + stream,
	}
}

func TestParticipantHasNoOtherPartOfJetStream(t *testing.T) {
	shop, wallet := newUser(t, "shop", true), newUser(t, "wallet", true)
	s := start(t, Config{Listen: local}, shop, wallet)
	journal, err := s.Journal()
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	js, err := jetstream.New(journal)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "J_0", Subjects: []string{"journal.0"}})
	if err != nil {
		t.Fatal(err)
	}
	c := join(t, s, shop)
	theirs := tongma.EventStream("wallet")
	subjects := append(apiSubjects("J_0"), apiSubjects(theirs)...)
	subjects = append(subjects, apiSubjects(tongma.EventStream("shop"))...)
	for _, stream := range []string{"J_0", theirs} {
		subjects = append(subjects, "$JS.API.CONSUMER.CREATE."+stream+".c", "$JS.API.CONSUMER.CREATE."+stream+".c.tm.v1.event.shop.>", "$JS.API.CONSUMER.DELETE."+stream+"."+EventConsumer)
	}
	subjects = append(subjects, "journal.0", "$JS.API.STREAM.INFO.J_0", "$JS.API.STREAM.MSG.GET.J_0",
		"$JS.API.STREAM.INFO."+theirs, "$JS.API.STREAM.MSG.GET."+theirs,
		"$JS.API.CONSUMER.MSG.NEXT."+theirs+"."+EventConsumer, "$JS.API.CONSUMER.INFO."+theirs+"."+EventConsumer,
		"$JS.ACK."+theirs+"."+EventConsumer+".1.1.1.1.1", "$JS.FC."+theirs+".c.x")
	for _, subject := range subjects {
		c.mustRefuse(t, "publish "+subject, func() error { return c.Publish(subject, []byte("{}")) })
	}
	info, err := stream.Info(t.Context())
	if err != nil || info.State.LastSeq != 0 {
		t.Fatalf("journal: %+v %v", info, err)
	}
	seen := heard(t, journal, "journal.>")
	if err := theSwitch(t, s).Publish("journal.0", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := seen(); len(got) != 0 {
		t.Fatalf("the account of the journal heard %v from the other account", got)
	}
}

func TestParticipantReplaysItsOwnEvents(t *testing.T) {
	shop, wallet := newUser(t, "shop", true), newUser(t, "wallet", true)
	s := start(t, Config{Listen: local}, shop, wallet)
	sw := theSwitch(t, s)
	for _, p := range []tongma.ParticipantID{"shop", "wallet"} {
		if err := EnsureEvents(t.Context(), sw, p, EventConfig{}); err != nil {
			t.Fatal(err)
		}
		if err := EnsureEvents(t.Context(), sw, p, EventConfig{}); err != nil {
			t.Fatalf("a second time: %v", err)
		}
		if err := sw.Publish(tongma.EventSubject(p, "payment.ended"), []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	sw.Flush()
	c := join(t, s, shop)
	js, err := jetstream.New(c.Conn)
	if err != nil {
		t.Fatal(err)
	}
	feed, err := js.Consumer(t.Context(), tongma.EventStream("shop"), EventConsumer)
	if err != nil {
		t.Fatal(err)
	}
	m, err := feed.Next(jetstream.FetchMaxWait(wait))
	if err != nil || string(m.Data()) != "shop" {
		t.Fatal(err)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), tongma.EventStream("shop"))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.GetMsg(t.Context(), 1); err != nil || string(m.Data) != "shop" {
		t.Fatalf("again: %v", err)
	}
	ordered, err := js.OrderedConsumer(t.Context(), tongma.EventStream("shop"), jetstream.OrderedConsumerConfig{OptStartSeq: 1, DeliverPolicy: jetstream.DeliverByStartSequencePolicy})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := ordered.Next(jetstream.FetchMaxWait(wait)); err != nil || string(m.Data()) != "shop" {
		t.Fatalf("from the first: %v", err)
	}
	c.mustRefuseNothing(t)
}

// A participant can point a consumer of its own stream at the subject of another.
// What comes there is still seen to be an event, so that nobody takes it for a
// request of the other; and it cannot make a consumer on another's stream by
// naming that one in the body.
func TestConsumerPointedAtOthersDeliversNothingButEvents(t *testing.T) {
	shop, wallet := newUser(t, "shop", true), newUser(t, "wallet", true)
	s := start(t, Config{Listen: local}, shop, wallet)
	sw := theSwitch(t, s)
	for _, p := range []tongma.ParticipantID{"shop", "wallet"} {
		if err := EnsureEvents(t.Context(), sw, p, EventConfig{}); err != nil {
			t.Fatal(err)
		}
		if err := sw.Publish(tongma.EventSubject(p, "payment.ended"), []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	requests, err := sw.SubscribeSync("tm.v1.wallet.pay") // the server pushes to no wildcard
	if err != nil {
		t.Fatal(err)
	}
	sw.Flush()
	c := join(t, s, shop)
	create := func(stream string) string {
		body := fmt.Sprintf(`{"stream_name":%q,"config":{"name":"c","deliver_subject":"tm.v1.wallet.pay","ack_policy":"none","deliver_policy":"all"}}`, stream)
		m, err := c.Request("$JS.API.CONSUMER.CREATE.EVT_shop.c", []byte(body), wait)
		if err != nil {
			t.Fatal(err)
		}
		return string(m.Data)
	}
	if answer := create("EVT_wallet"); !strings.Contains(answer, `"error"`) {
		t.Fatalf("made a consumer on another's stream: %s", answer)
	}
	if answer := create("EVT_shop"); strings.Contains(answer, `"error"`) {
		t.Fatal(answer)
	}
	if m, err := requests.NextMsg(wait); err != nil || m.Subject != "tm.v1.event.shop.payment.ended" || string(m.Data) != "shop" {
		t.Fatalf("%+v %v", m, err)
	}
}

func TestUnknownKeyIsNotLetIn(t *testing.T) {
	shop := newUser(t, "shop", true)
	s := start(t, Config{Listen: local}, shop)
	stranger := newUser(t, "shop", true)
	for name, options := range map[string][]nats.Option{
		"nobody":      nil,
		"stranger":    {nats.Nkey(stranger.PublicKey, stranger.pair.Sign)},
		"wrong key":   {nats.Nkey(shop.PublicKey, stranger.pair.Sign)},
		"from within": {s.InProcess()},
	} {
		if nc, err := nats.Connect(s.URL(), options...); err == nil {
			nc.Close()
			t.Errorf("%s is let in", name)
		}
	}
	key, _ := s.journalUser.PublicKey()
	if nc, err := nats.Connect(s.URL(), nats.Nkey(key, s.journalUser.Sign)); err == nil {
		nc.Close()
		t.Error("the journal's user is let in from outside")
	}
}

func TestParticipantsChangeWhileTheJournalGoesOn(t *testing.T) {
	shop, wallet := newUser(t, "shop", true), newUser(t, "wallet", true)
	s := start(t, Config{Listen: local}, shop)
	journal, err := s.Journal()
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	js, _ := jetstream.New(journal)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "J_0", Subjects: []string{"journal.0"}}); err != nil {
		t.Fatal(err)
	}
	stop, ended := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				ended <- nil
				return
			default:
				if _, err := js.Publish(t.Context(), "journal.0", []byte("x")); err != nil {
					ended <- err
					return
				}
			}
		}
	}()
	sw := theSwitch(t, s)
	c := join(t, s, shop)
	for range 5 {
		if err := s.UpdateParticipants([]Participant{shop.Participant, wallet.Participant}); err != nil {
			t.Fatal(err)
		}
		w := join(t, s, wallet)
		if err := w.Publish("tm.v1.wallet.pay", nil); err != nil {
			t.Fatal(err)
		}
		w.mustRefuseNothing(t)
		gone := w.StatusChanged(nats.RECONNECTING, nats.CLOSED)
		if err := s.UpdateParticipants([]Participant{shop.Participant}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-gone:
		case <-time.After(wait):
			t.Fatal("whoever is removed stays connected")
		}
		w.Close()
		if nc, err := nats.Connect(s.URL(), nats.Nkey(wallet.PublicKey, wallet.pair.Sign)); err == nil {
			nc.Close()
			t.Fatal("whoever is removed comes back")
		}
	}
	widened := shop.Participant
	widened.Schemes = []tongma.SchemeID{"shop-pay"}
	if err := s.UpdateParticipants([]Participant{widened}); err != nil {
		t.Fatal(err)
	}
	if err := s.UpdateParticipants([]Participant{{ID: "UPPER"}}); err == nil {
		t.Fatal("a wrong participant is let in")
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Fatalf("journal: %v", err)
	}
	c.mustRefuseNothing(t)
	for name, nc := range map[string]*nats.Conn{"journal": journal, "switch": sw, "shop": c.Conn} {
		if nc.Stats().Reconnects != 0 || !nc.IsConnected() {
			t.Errorf("%s was disconnected", name)
		}
	}
	if _, err := c.Subscribe("tm.v1.adapter.shop-pay.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	c.mustRefuseNothing(t)
}

func TestDirectoryInUseNamesTheProcess(t *testing.T) {
	if dir := os.Getenv("BUS_TEST_DIR"); dir != "" {
		_, err := Start(Config{Dir: dir})
		fmt.Println(err)
		return
	}
	dir := t.TempDir()
	s := start(t, Config{Dir: dir})
	if _, err := Start(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), "BUS_TEST_DIR="+dir)
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("is in use by process %d", os.Getpid())) {
		t.Fatalf("%s %v", out, err)
	}
	s.Shutdown()
	start(t, Config{Dir: dir})
}

func TestBusyAddressIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", local)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	_, err = Start(Config{Dir: dir, Listen: l.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()+" is in use") {
		t.Fatal(err)
	}
	start(t, Config{Dir: dir}) // and the directory is free again
}

func TestOutsideLoopbackNeedsTLS(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:4222"} {
		if _, err := Start(Config{Dir: t.TempDir(), Listen: listen}); err == nil || !strings.Contains(err.Error(), "not loopback") {
			t.Errorf("%s: %v", listen, err)
		}
	}
	start(t, Config{Listen: "0.0.0.0:0", AllowPlaintext: true})
}

func TestWrongParticipantsAreNamed(t *testing.T) {
	a, b := newUser(t, "aa", true, "x"), newUser(t, "bb", true, "x")
	account, _ := nkeys.CreateAccount()
	accountKey, _ := account.PublicKey()
	for name, test := range map[string]struct {
		participants []Participant
		want         string
	}{
		"id":        {[]Participant{{ID: "a.b", PublicKey: a.PublicKey}}, `"a.b"`},
		"wildcard":  {[]Participant{{ID: "*", PublicKey: a.PublicKey}}, "not a participant's id"},
		"reserved":  {[]Participant{{ID: "event", PublicKey: a.PublicKey}}, "not a participant's id"},
		"no key":    {[]Participant{{ID: "aa"}}, "public key"},
		"kind":      {[]Participant{{ID: "aa", PublicKey: accountKey}}, "public key"},
		"twice":     {[]Participant{a.Participant, a.Participant}, "there twice"},
		"same key":  {[]Participant{a.Participant, {ID: "bb", PublicKey: a.PublicKey}}, "key of another"},
		"one serve": {[]Participant{a.Participant, b.Participant}, "scheme x is served by aa"},
		"scheme":    {[]Participant{{ID: "aa", PublicKey: a.PublicKey, Schemes: []tongma.SchemeID{">"}}}, "not a scheme's id"},
	} {
		if _, err := Start(Config{Dir: t.TempDir(), Participants: test.participants}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSwitchAnswersOnlyInTheAskersInbox(t *testing.T) {
	for reply, want := range map[string]bool{
		"_INBOX_shop.abc.1": true, "_INBOX_shop": false, "_INBOX_shop.": false, "_INBOX_shopper.x": false, "_INBOX_switch.x": false,
		"tm.v1.wallet.pay": false, "": false, "_INBOX_shop.*": false, "_INBOX_shop.>": false,
	} {
		if AnswersTo("shop", reply) != want {
			t.Errorf("%q: want %v", reply, want)
		}
	}
}

// TestADealerServesItsOwnQuotesOnly: under its own name, and no other operation.
func TestADealerServesItsOwnQuotesOnly(t *testing.T) {
	bourse, wallet := newUser(t, "bourse", true), newUser(t, "wallet", true, "wallet-pay")
	bourse.Deals = true
	s := start(t, Config{Listen: local}, bourse, wallet)
	c := join(t, s, bourse)
	if _, err := c.QueueSubscribe(tongma.DealerSubject("bourse"), "adapter", func(m *nats.Msg) { m.Respond([]byte("q-1")) }); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	c.mustRefuseNothing(t)
	for _, subject := range []string{"tm.v1.adapter.bourse.authorise", "tm.v1.adapter.bourse.>", "tm.v1.adapter.wallet-pay.quote", tongma.DealerSubject("wallet"), "tm.v1.adapter.*.quote"} {
		c.mustRefuse(t, "subscribe "+subject, func() error { _, err := c.SubscribeSync(subject); return err })
	}
	if m, err := theSwitch(t, s).Request(tongma.DealerSubject("bourse"), []byte("rate"), wait); err != nil || string(m.Data) != "q-1" {
		t.Fatal(m, err)
	}
	other := join(t, s, wallet)
	other.mustRefuse(t, "a quote for another", func() error { _, err := other.SubscribeSync(tongma.DealerSubject("bourse")); return err })
	other.mustRefuse(t, "asking a dealer", func() error { return other.Publish(tongma.DealerSubject("bourse"), nil) })
	taken := newUser(t, "wallet-pay", true)
	taken.Deals = true
	if err := checkParticipants([]Participant{wallet.Participant, taken.Participant}); err == nil {
		t.Error("a dealer has the name of another's scheme")
	}
}
