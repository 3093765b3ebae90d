package iso8583

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tongma/tongma"
)

func TestPurchaseReachesTheSwitchAsTheMessageSaysIt(t *testing.T) {
	s := newStand(t, nil)
	c := s.client(t, nil)
	r := mustReply(t, "00")(c.Purchase(t.Context(), purchase("6259960012345678901")))
	want := tongma.Request{Op: tongma.OpPay, From: "acquirer-a", Acquirer: "acquirer-a", Key: "8583:10344:10000:000002:1122080910",
		Code: "6259960012345678901", Amount: cny(12345), Order: "OR20261122000123", Budget: 5 * time.Second, Merchant: purchase("").Merchant}
	if got := s.requests(); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("asked %+v\nwant %+v", got, want)
	}
	if c.Key(r.Trace) != want.Key {
		t.Errorf("the client says its key is %s", c.Key(r.Trace))
	}
	if r.MTI != "0210" || r.Approval != "A1B2C3" || r.Scheme != "wallet" || r.SchemeRef != "W1122080910" ||
		r.Payment != (tongma.PaymentID{7: 1}) || r.Reference != "632616000002" || r.Undecided() {
		t.Errorf("reply %+v", r)
	}
	var m Message
	if err := m.Unpack(r.Raw); err != nil {
		t.Fatal(err)
	}
	for id, v := range map[int]string{3: "000000", 4: "000000012345", 7: "1122080910", 11: "000002", 12: "080910", 13: "1122", 15: "1122",
		32: "00010344", 33: "00010000", 41: "T0000001", 42: "898100012340001", 49: "156"} {
		if m.Text(id) != v {
			t.Errorf("DE%d of the reply is %q, want %q", id, m.Text(id), v)
		}
	}
}

func TestRepeatGetsTheSameBytes(t *testing.T) {
	s := newStand(t, nil)
	c := s.client(t, nil)
	for _, code := range []string{"good", "poor", "confirming"} {
		p := purchase(code)
		p.Trace = c.NextTrace()
		first, err := c.Purchase(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		p.Repeat = true
		second, err := s.client(t, nil).Purchase(t.Context(), p) // over another link, too
		if err != nil || !bytes.Equal(first.Raw, second.Raw) {
			t.Errorf("%s: first  %x\nsecond %x, %v", code, first.Raw, second.Raw, err)
		}
	}
}

func TestRepeatRightBehindTheReplyIsNotTakenForACopyInFlight(t *testing.T) {
	s := newStand(t, nil)
	c := s.client(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	p := purchase("good")
	p.Trace = c.NextTrace()
	for i := range 5000 {
		if _, err := c.Purchase(ctx, p); err != nil {
			t.Fatalf("repeat %d: %v", i, err)
		}
	}
}

func TestEveryStatusHasItsResponseCode(t *testing.T) {
	s := newStand(t, nil)
	c := s.client(t, nil)
	if r := mustReply(t, "51")(c.Purchase(t.Context(), purchase("poor"))); r.Reason != tongma.InsufficientFunds || r.Undecided() {
		t.Errorf("%+v", r)
	}
	if r := mustReply(t, "09")(c.Purchase(t.Context(), purchase("confirming"))); r.Reason != tongma.PayerConfirming || !r.Undecided() {
		t.Errorf("%+v", r)
	}
	s.mu.Lock()
	s.fail = &tongma.Error{Op: "test", Reason: tongma.JournalStopped}
	s.mu.Unlock()
	if r := mustReply(t, "96")(c.Purchase(t.Context(), purchase("good"))); r.Reason != tongma.JournalStopped {
		t.Errorf("%+v", r)
	}
}

func TestReversal(t *testing.T) {
	for _, advice := range []bool{false, true} {
		t.Run(fmt.Sprintf("advice %v", advice), func(t *testing.T) {
			s := newStand(t, nil)
			c := s.client(t, nil)
			p := purchase("good")
			p.Trace = c.NextTrace()
			mustReply(t, "00")(c.Purchase(t.Context(), p))
			rev := Reversal{Trace: c.NextTrace(), Original: p.Trace, Advice: advice, Amount: p.Amount}
			first := mustReply(t, "00")(c.Reverse(t.Context(), rev))
			rev.Repeat = true
			second := mustReply(t, "00")(c.Reverse(t.Context(), rev))
			if !bytes.Equal(first.Raw, second.Raw) {
				t.Errorf("first  %x\nsecond %x", first.Raw, second.Raw)
			}
			got := s.requests()[1]
			if got.Op != tongma.OpReverse || got.OfKey != c.Key(p.Trace) || got.Key != c.Key(rev.Trace) || got.Reason != tongma.SchemeSilent {
				t.Errorf("asked %+v", got)
			}
			if r := mustReply(t, "17")(c.Inquire(t.Context(), Inquiry{Original: p.Trace})); r.Reason != tongma.ReversedByAcquirer {
				t.Errorf("inquiry: %+v", r)
			}
		})
	}
}

func TestReversalBeforeItsOriginalIsTakenAndTheOriginalDeclined(t *testing.T) {
	s := newStand(t, nil)
	c := s.client(t, nil)
	p := purchase("good")
	p.Trace = c.NextTrace()
	mustReply(t, "00")(c.Reverse(t.Context(), Reversal{Original: p.Trace, Advice: true}))
	if r := mustReply(t, "94")(c.Purchase(t.Context(), p)); r.Reason != tongma.ReversedBeforeOriginal {
		t.Errorf("%+v", r)
	}
}

func TestReversalOnItsWayIsTakenAsAdviceAndPendingAsRequest(t *testing.T) {
	s := newStand(t, nil)
	s.slow = true
	c := s.client(t, nil)
	p := purchase("good")
	p.Trace = c.NextTrace()
	mustReply(t, "00")(c.Purchase(t.Context(), p))
	mustReply(t, "00")(c.Reverse(t.Context(), Reversal{Original: p.Trace, Advice: true}))
	mustReply(t, "09")(c.Reverse(t.Context(), Reversal{Original: p.Trace}))
}

func TestRefundAndInquiryNameTheOriginal(t *testing.T) {
	s := newStand(t, nil)
	c := s.client(t, nil)
	p := purchase("good")
	p.Trace = c.NextTrace()
	paid := mustReply(t, "00")(c.Purchase(t.Context(), p))
	mustReply(t, "00")(c.Inquire(t.Context(), Inquiry{Original: p.Trace}))
	mustReply(t, "00")(c.Refund(t.Context(), Refund{Original: p.Trace, Amount: cny(100), Merchant: p.Merchant}))
	mustReply(t, "25")(c.Refund(t.Context(), Refund{Payment: paid.Payment, Amount: cny(100), Merchant: p.Merchant}))
	got := s.requests()
	if got[2].Op != tongma.OpRefund || got[2].OfKey != c.Key(p.Trace) || got[2].Amount != cny(100) {
		t.Errorf("refund by DE90: %+v", got[2])
	}
	if got[3].Original != paid.Payment || got[3].OfKey != "" {
		t.Errorf("refund by the payment's id: %+v", got[3])
	}
}

func TestSameKeyWithAnotherAmountIsRefusedBySwitchNotByLink(t *testing.T) {
	s := newStand(t, nil)
	c := s.client(t, nil)
	p := purchase("good")
	p.Trace = c.NextTrace()
	mustReply(t, "00")(c.Purchase(t.Context(), p))
	p.Amount, p.Repeat = cny(99), true
	if r := mustReply(t, "94")(c.Purchase(t.Context(), p)); r.Reason != tongma.ExistsOtherAmount {
		t.Errorf("%+v", r)
	}
}

func TestCopyInFlightIsForwardedOnceAndOneReplyAnswersBoth(t *testing.T) {
	dropped := make(chan tongma.Reason, 1)
	s := newStand(t, func(cfg *Config) { cfg.Metrics.Dropped = func(r tongma.Reason) { dropped <- r } })
	release := s.hold("held")
	c := s.client(t, nil)
	p := purchase("held")
	p.Trace = c.NextTrace()
	var first, second Reply
	var both sync.WaitGroup
	both.Go(func() { first = mustReply(t, "00")(c.Purchase(t.Context(), p)) })
	s.await(t, 1)
	copied := p
	copied.Repeat = true
	both.Go(func() { second = mustReply(t, "00")(c.Purchase(t.Context(), copied)) })
	if why := <-dropped; why != tongma.NoReason {
		t.Errorf("dropped: %v", why)
	}
	release()
	both.Wait()
	if n := len(s.requests()); n != 1 {
		t.Errorf("the switch was asked %d times", n)
	}
	if !bytes.Equal(first.Raw, second.Raw) {
		t.Errorf("%x\n%x", first.Raw, second.Raw)
	}
}

func TestRepliesFindTheirRequestsInWhateverOrderTheyCome(t *testing.T) {
	s := newStand(t, nil)
	c := s.client(t, nil)
	const count = 20
	var release [count]func()
	var got [count]Reply
	var all sync.WaitGroup
	for i := range count {
		code := fmt.Sprintf("code-%02d", i)
		release[i] = s.hold(code)
		p := purchase(code)
		p.Trace = c.NextTrace()
		all.Go(func() {
			got[i] = mustReply(t, "00")(c.Purchase(t.Context(), p))
			if got[i].Trace != p.Trace {
				t.Errorf("%v got the reply of %v", p.Trace, got[i].Trace)
			}
		})
	}
	for i := count - 1; i >= 0; i-- {
		release[i]()
		time.Sleep(time.Millisecond)
	}
	all.Wait()
}

func TestReplyThatNobodyWaitsForAnyMoreIsHandedOver(t *testing.T) {
	s := newStand(t, nil)
	release := s.hold("late")
	late := make(chan Reply, 1)
	c := s.client(t, func(cfg *ClientConfig) { cfg.Unsolicited = func(r Reply) { late <- r } })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	p := purchase("late")
	p.Trace = c.NextTrace()
	if _, err := c.Purchase(ctx, p); tongma.ReasonOf(err) != tongma.SchemeSilent || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v", err)
	}
	release()
	select {
	case r := <-late:
		if r.Trace != p.Trace || !r.Approved() {
			t.Errorf("%+v", r)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the late reply was lost")
	}
}

func TestSilentSwitchIsAnsweredAsNotKnownWhenTheBudgetIsSpent(t *testing.T) {
	s := newStand(t, func(cfg *Config) { cfg.Budget = 50 * time.Millisecond })
	defer s.hold("held")()
	r := mustReply(t, "68")(s.client(t, nil).Purchase(t.Context(), purchase("held")))
	if r.Reason != tongma.SchemeSilent || !r.Undecided() {
		t.Errorf("%+v", r)
	}
}

func TestLinkServesPaymentsOnlyWhileSignedOnAndOnlyItsParticipant(t *testing.T) {
	s := newStand(t, nil)
	c, err := Dial(t.Context(), s.addr, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Echo(t.Context()); err != nil {
		t.Errorf("echo before sign-on: %v", err)
	}
	mustReply(t, "58")(c.Purchase(t.Context(), purchase("good")))
	if err := c.SignOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustReply(t, "00")(c.Purchase(t.Context(), purchase("good")))

	c.cfg.DE32 = "00010345" // another number of the same participant
	mustReply(t, "00")(c.Purchase(t.Context(), purchase("good")))
	c.cfg.DE32 = "00020000" // another participant
	mustReply(t, "31")(c.Purchase(t.Context(), purchase("good")))
	if err := c.SignOn(t.Context()); tongma.ReasonOf(err) != tongma.LinkUnknown {
		t.Errorf("sign-on as another participant: %v", err)
	}
	c.cfg.DE32 = "99"
	mustReply(t, "31")(c.Purchase(t.Context(), purchase("good")))

	c.cfg.DE32 = "00010344"
	if err := c.SignOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustReply(t, "58")(c.Purchase(t.Context(), purchase("good")))
	if n := len(s.requests()); n != 2 {
		t.Errorf("the switch was asked %d times", n)
	}
}

// sendRaw writes one message with its length, and reads one reply.
func sendRaw(t *testing.T, conn net.Conn, msg []byte) *Message {
	t.Helper()
	if _, err := conn.Write(append([]byte{byte(len(msg) >> 8), byte(len(msg))}, msg...)); err != nil {
		t.Fatal(err)
	}
	f, err := newFrameReader(conn, MaxMessage, 5*time.Second, time.Second).next()
	if err != nil {
		t.Fatal(err)
	}
	m := new(Message)
	if err := m.Unpack(f.b); err != nil {
		t.Fatal(err)
	}
	return m
}

func packed(t *testing.T, mti string, fields map[int]string) []byte {
	t.Helper()
	var m Message
	m.Reset(mti)
	for id, v := range fields {
		m.SetText(id, v)
	}
	out, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// signedOnRaw returns a bare connection that has signed on.
func signedOnRaw(t *testing.T, s *stand) net.Conn {
	conn := s.raw(t)
	m := sendRaw(t, conn, packed(t, "0800", map[int]string{7: "1122080910", 11: "000001", 32: "00010344", 70: "001"}))
	if m.MTI() != "0810" || m.Text(39) != "00" || m.Text(70) != "001" {
		t.Fatalf("sign-on: %s %s", m.MTI(), m.Text(39))
	}
	return conn
}

// fields0200 are those of a purchase that is in order.
func fields0200() map[int]string {
	return map[int]string{3: "000000", 4: "000000012345", 7: "1122080910", 11: "000123", 32: "00010344", 42: "898100012340001",
		48: "01019" + "6259960012345678901", 49: "156"}
}

func TestMessageThatCannotBeServedIsRefusedByNameAndTheLinkStays(t *testing.T) {
	s := newStand(t, nil)
	conn := signedOnRaw(t, s)
	with := func(change map[int]string) []byte {
		f := fields0200()
		for id, v := range change {
			if f[id] = v; v == "" {
				delete(f, id)
			}
		}
		return packed(t, "0200", f)
	}
	tests := []struct {
		name           string
		msg            []byte
		code, explains string
	}{
		{"trailing junk", append(with(nil), "JUNK"...), "30", "TM-8004"},
		{"cut short behind DE32", with(nil)[:60], "30", "TM-8003 DE42"},
		{"unknown message type", append([]byte("0500"), with(nil)[4:]...), "40", "TM-8005"},
		{"processing code not offered", with(map[int]string{3: "010000"}), "40", "TM-1021 DE3"},
		{"no amount", with(map[int]string{4: ""}), "30", "TM-1015 DE4"},
		{"amount of nothing", with(map[int]string{4: "000000000000"}), "13", "TM-1009 DE4"},
		{"no such currency", with(map[int]string{49: "999"}), "12", "TM-1011 DE49"},
		{"no code", with(map[int]string{48: ""}), "30", "TM-1015 DE48.01"},
		{"DE48 with two-digit lengths", with(map[int]string{48: "0102QR020512345"}), "30", "TM-8003 DE48.01"},
		{"tag the dialect does not have", with(map[int]string{48: "010011" + "09001x"}), "30", "TM-1017 DE48.09"},
		{"tag twice", with(map[int]string{48: "010011" + "010012"}), "30", "TM-1016 DE48.01"},
		{"merchant's code", with(map[int]string{48: "010011" + "05001M"}), "", "TM-1005 DE48.05"},
		{"no acquirer", with(map[int]string{32: ""}), "30", "TM-1015 DE32"},
		{"no transmission time", with(map[int]string{7: ""}), "30", "TM-1015 DE7"},
		{"refund of nothing", with(map[int]string{3: "200000"}), "30", "TM-1015 DE90"},
		{"refund of another's", with(map[int]string{3: "200000", 90: originalData("000001", "1122080910", "20000", "")}), "30", "TM-1016 DE90"},
		{"refund of itself", with(map[int]string{3: "200000", 90: originalData("000123", "1122080910", "10344", "")}), "30", "TM-1016 DE90"},
		{"refund of a sign-on", with(map[int]string{3: "200000", 90: "0800" + originalData("000001", "1122080910", "10344", "")[4:]}), "30", "TM-1016 DE90"},
	}
	for _, tt := range tests {
		m := sendRaw(t, conn, tt.msg)
		if (tt.code != "" && m.Text(39) != tt.code) || m.Text(44) != tt.explains || m.Text(11) != "000123" {
			t.Errorf("%s: %s, DE11 %q, DE39 %s, DE44 %q, want %s %q", tt.name, m.MTI(), m.Text(11), m.Text(39), m.Text(44), tt.code, tt.explains)
		}
	}
	partial := fields0200()
	delete(partial, 48)
	partial[90], partial[95] = originalData("000001", "1122080910", "10344", ""), "000000000100"+"000000000000"+"C00000000"+"C00000000"
	if m := sendRaw(t, conn, packed(t, "0420", partial)); m.MTI() != "0430" || m.Text(44) != "TM-1016 DE95" {
		t.Errorf("partial reversal: %s %s %q", m.MTI(), m.Text(39), m.Text(44))
	}
	if n := len(s.requests()); n != 0 {
		t.Errorf("the switch was asked %d times", n)
	}
	if m := sendRaw(t, conn, with(nil)); m.Text(39) != "00" {
		t.Errorf("a good message behind them: DE39 %s", m.Text(39))
	}
}

func TestResponsesAreNeverAnswered(t *testing.T) {
	s := newStand(t, nil)
	conn := signedOnRaw(t, s)
	for _, mti := range []string{"0210", "0810", "0430", "0630"} {
		msg := packed(t, mti, fields0200())
		if _, err := conn.Write(append([]byte{0, byte(len(msg))}, msg...)); err != nil {
			t.Fatal(err)
		}
	}
	m := sendRaw(t, conn, packed(t, "0800", map[int]string{7: "1122080910", 11: "000777", 70: "301"}))
	if m.Text(11) != "000777" {
		t.Errorf("something else was answered: %s %s", m.MTI(), m.Text(11))
	}
}

func TestGarbageClosesTheLinkAndNeverTheServer(t *testing.T) {
	s := newStand(t, func(cfg *Config) { cfg.ReadTimeout = 100 * time.Millisecond })
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	noise := make([]byte, 64<<10)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	msg := packed(t, "0200", fields0200())
	length := []byte{0, byte(len(msg))}
	tests := map[string][]byte{
		"64 KB of noise":           noise,
		"length of nothing":        {0, 0},
		"length below a bitmap":    {0, 11, '0', '2', '0', '0'},
		"length of 10000":          {0x27, 0x10},
		"length of 65535":          append([]byte{0xff, 0xff}, noise...),
		"half a length":            {0},
		"length and silence":       length,
		"half a frame and silence": append(length, msg[:len(msg)/2]...),
		"no message type":          append([]byte{0, 12}, "xxxxxxxxxxxx"...),
		"no trace number":          append([]byte{0, 12}, "0200\x80\x00\x00\x00\x00\x00\x00\x00"...),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			conn := s.raw(t)
			_, _ = conn.Write(data) // the server may have closed it by now
			closedWithin(t, conn, 2*time.Second)
		})
	}
	mustReply(t, "00")(s.client(t, nil).Purchase(t.Context(), purchase("good")))
}

func TestFrameInDribsIsCutOffAtTheDeadlineNotLater(t *testing.T) {
	s := newStand(t, func(cfg *Config) { cfg.ReadTimeout = 200 * time.Millisecond })
	conn := s.raw(t)
	go func() { // it would take more than two seconds
		msg := packed(t, "0200", fields0200())
		for _, c := range append([]byte{0, byte(len(msg))}, msg...) {
			if _, err := conn.Write([]byte{c}); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	closedWithin(t, conn, 2*time.Second)
}

func TestIdleLinkIsClosed(t *testing.T) {
	s := newStand(t, func(cfg *Config) { cfg.IdleTimeout = 50 * time.Millisecond })
	closedWithin(t, s.raw(t), 2*time.Second)
}

func TestLinkThatNobodySignsOnIsClosedHoweverBusyItIs(t *testing.T) {
	s := newStand(t, func(cfg *Config) { cfg.SignOnTimeout = 400 * time.Millisecond })
	c, err := Dial(t.Context(), s.addr, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	signed := s.client(t, nil)
	for start := time.Now(); c.Echo(t.Context()) == nil; time.Sleep(time.Millisecond) {
		if time.Since(start) > 5*time.Second {
			t.Fatal("still open")
		}
	}
	closedWithin(t, s.raw(t), 2*time.Second)
	if err := signed.Echo(t.Context()); err != nil {
		t.Errorf("a link that has signed on: %v", err)
	}
}

func TestNumberWithoutAKeyDoesNotGetRoundTheKeyOfAnother(t *testing.T) {
	key, err := NewMAC(bytes.Repeat([]byte{7}, 16))
	if err != nil {
		t.Fatal(err)
	}
	s := newStand(t, func(cfg *Config) {
		cfg.Key = func(de32 string) *MAC { return map[string]*MAC{"00010344": key}[de32] }
	})
	conn := s.raw(t)
	sendRaw(t, conn, packed(t, "0800", map[int]string{7: "1122080910", 11: "000001", 32: "00010345", 70: "001"}))
	if r := sendRaw(t, conn, packed(t, "0200", fields0200())); r.Text(39) != "63" {
		t.Errorf("DE39 %s", r.Text(39))
	}
	if r := sendRaw(t, conn, sealed(t, key, "0200", fields0200())); r.Text(39) != "00" {
		t.Errorf("with its MAC: DE39 %s", r.Text(39))
	}
}

func TestReaderWhoDoesNotReadIsCutOff(t *testing.T) {
	s := newStand(t, func(cfg *Config) { cfg.WriteTimeout = 100 * time.Millisecond })
	conn := signedOnRaw(t, s)
	echo := packed(t, "0800", map[int]string{7: "1122080910", 11: "000777", 70: "301"})
	chunk := bytes.Repeat(append([]byte{0, byte(len(echo))}, echo...), 500)
	_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	for {
		if _, err := conn.Write(chunk); err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				t.Fatal("the server neither read nor closed")
			}
			break
		}
	}
	mustReply(t, "00")(s.client(t, nil).Purchase(t.Context(), purchase("good")))
}

func TestLinkLossFailsAllWaitersAtOnceAndTheRepeatFindsTheAnswer(t *testing.T) {
	s := newStand(t, nil)
	release := s.hold("held")
	proxyAddr, drop := breakableProxy(t, s.addr)
	cfg := testConfig()
	c, err := Dial(t.Context(), proxyAddr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SignOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := purchase("held")
	p.Trace = c.NextTrace()
	const count = 10
	failed := make(chan error, count)
	for i := range count {
		q := p
		if i > 0 {
			q.Trace = c.NextTrace()
		}
		go func() {
			_, err := c.Purchase(t.Context(), q)
			failed <- err
		}()
	}
	s.await(t, count)
	drop()
	for range count {
		select {
		case err := <-failed:
			if tongma.ReasonOf(err) != tongma.SchemeSilent {
				t.Errorf("%v", err)
			}
		case <-time.After(2 * time.Second):
			t.Fatal("a waiter was left behind")
		}
	}
	<-c.Done()
	if _, err := c.Purchase(t.Context(), p); tongma.ReasonOf(err) != tongma.AdapterDown {
		t.Errorf("on a dead link: %v", err)
	}
	release() // the switch decides although the link is gone
	p.Repeat = true
	mustReply(t, "00")(s.client(t, nil).Purchase(t.Context(), p))
}

// breakableProxy passes one connection on, until told to drop it.
func breakableProxy(t *testing.T, addr string) (string, func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	up, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var down net.Conn
	ready := make(chan struct{})
	go func() {
		down, _ = l.Accept()
		close(ready)
		go func() { _, _ = up.(*net.TCPConn).ReadFrom(down) }()
		_, _ = down.(*net.TCPConn).ReadFrom(up)
	}()
	return l.Addr().String(), func() {
		<-ready
		down.Close()
		up.Close()
	}
}

func TestMoreThanMaxInFlightIsRefusedAtOnce(t *testing.T) {
	s := newStand(t, func(cfg *Config) { cfg.MaxInFlight = 2 })
	release := s.hold("held")
	c := s.client(t, nil)
	var held sync.WaitGroup
	for range 2 {
		held.Go(func() { mustReply(t, "00")(c.Purchase(t.Context(), purchase("held"))) })
	}
	s.await(t, 2)
	if r := mustReply(t, "91")(c.Purchase(t.Context(), purchase("good"))); r.Reason != tongma.Overloaded {
		t.Errorf("%+v", r)
	}
	if err := c.Echo(t.Context()); err != nil {
		t.Errorf("echo on a full link: %v", err)
	}
	release()
	held.Wait()
}

func TestMoreThanMaxLinksIsClosedAtOnce(t *testing.T) {
	s := newStand(t, func(cfg *Config) { cfg.MaxLinks = 1 })
	s.client(t, nil)
	closedWithin(t, s.raw(t), 2*time.Second)
}

func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	s := newStand(t, nil)
	release := s.hold("held")
	c := s.client(t, nil)
	answered := make(chan Reply, 1)
	go func() { answered <- mustReply(t, "00")(c.Purchase(t.Context(), purchase("held"))) }()
	s.await(t, 1)
	down := make(chan error, 1)
	go func() { down <- s.server.Shutdown(t.Context()) }()
	time.Sleep(20 * time.Millisecond)
	release()
	if r := <-answered; !r.Approved() {
		t.Errorf("%+v", r)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	<-c.Done()
}

func TestWrongMACStopsEverythingBeforeBusiness(t *testing.T) {
	key, err := NewMAC(bytes.Repeat([]byte{7}, 16))
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewMAC(bytes.Repeat([]byte{8}, 16))
	if err != nil {
		t.Fatal(err)
	}
	s := newStand(t, func(cfg *Config) {
		cfg.Key = func(de32 string) *MAC {
			if de32 == "00010344" {
				return key
			}
			return nil
		}
	})
	c := s.client(t, func(cfg *ClientConfig) { cfg.MAC = key })
	p := purchase("good")
	p.Trace = c.NextTrace()
	mustReply(t, "00")(c.Purchase(t.Context(), p))
	mustReply(t, "00")(c.Reverse(t.Context(), Reversal{Original: p.Trace, Advice: true})) // MAC in DE128
	before := len(s.requests())

	for name, m := range map[string]*MAC{"none": nil, "another key's": other} {
		conn := s.raw(t)
		sent := sealed(t, m, "0800", map[int]string{7: "1122080910", 11: "000001", 32: "00010344", 70: "001"})
		if r := sendRaw(t, conn, sent); r.Text(39) != "63" {
			t.Errorf("sign-on, MAC %s: DE39 %s", name, r.Text(39))
		}
		conn = s.raw(t)
		sendRaw(t, conn, sealed(t, key, "0800", map[int]string{7: "1122080910", 11: "000001", 32: "00010344", 70: "001"}))
		if r := sendRaw(t, conn, sealed(t, m, "0200", fields0200())); r.Text(39) != "63" || r.Text(44) != "TM-4003" {
			t.Errorf("purchase, MAC %s: DE39 %s", name, r.Text(39))
		}
	}
	if n := len(s.requests()); n != before {
		t.Errorf("the switch was asked %d times", n-before)
	}
}

func sealed(t *testing.T, key *MAC, mti string, fields map[int]string) []byte {
	t.Helper()
	var m Message
	if err := m.Unpack(packed(t, mti, fields)); err != nil {
		t.Fatal(err)
	}
	out, err := m.AppendSealed(nil, key)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestClientBreaksTheLinkOnAReplyWithAWrongMAC(t *testing.T) {
	key, err := NewMAC(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	s := newStand(t, nil) // it knows of no key
	cfg := testConfig()
	cfg.MAC = key
	c, err := Dial(t.Context(), s.addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SignOn(t.Context()); err == nil || tongma.ReasonOf(c.Err()) != tongma.MACWrong {
		t.Errorf("%v, %v", err, c.Err())
	}
}

func TestWholeRupiahTravelOverALinkThatAgreedOnThem(t *testing.T) {
	const idr = tongma.Currency(360)
	s := newStand(t, func(cfg *Config) {
		cfg.Decimals = func(tongma.ParticipantID) Decimals { return Decimals{idr: 0} }
	})
	c := s.client(t, func(cfg *ClientConfig) { cfg.Decimals = Decimals{idr: 0} })
	p := purchase("good")
	p.Amount = tongma.Money{Minor: 1500000, Currency: idr}
	r := mustReply(t, "00")(c.Purchase(t.Context(), p))
	var m Message
	if err := m.Unpack(r.Raw); err != nil || m.Text(4) != "000000015000" {
		t.Errorf("DE4 %s, %v", m.Text(4), err)
	}
	if got := s.requests()[0].Amount; got != p.Amount {
		t.Errorf("the switch was asked for %v", got)
	}
}

func TestTraceNumbersGoRoundFrom999999To000001(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		cfg := testConfig()
		cfg.LastTrace = 999998
		c := NewClient(near, cfg)
		defer far.Close()
		defer c.Close()
		if a, b := c.NextTrace().STAN, c.NextTrace().STAN; a != "999999" || b != "000001" {
			t.Errorf("%s, then %s", a, b)
		}
	})
}
