package clearing

import (
	"cmp"
	"crypto/sha256"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/clearing/scripttest"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
)

var snapshotPayments = flag.Int("payments", 50_000, "payments of TestRestoreIsQuick")

var update = scripttest.Update

// TestScripts runs testdata/*.script, one money rule each. A line is a command,
// an arrow, and what the Book has to say to it; indented lines belong to the line
// above. The script is rendered anew from what the Book said, and must come out
// as it stands, byte for byte. Behind its last line the journal of every script
// is replayed and audited.
//
//	cap      WHO AMOUNT CUR               net debit cap
//	reserve  NAME WHO -> WHO AMOUNT CUR   hold; then "code C", "content X", "op transfer", "key K", "for 30s";
//	                                      "gets AMOUNT CUR dealer WHO rate USD/JPY:155.230:source quote Q" in two currencies
//	refund   NAME of NAME AMOUNT CUR      hold of a refund; "from WHO to WHO" if not simply back
//	pend, post, void, expire, reversing, reversed NAME    then "keep-code"
//	post     NAME AMOUNT CUR              less than was held; then "fee KIND from WHO to WHO AMOUNT CUR", and "return"
//	fees     NAME                         fees of the posting
//	tombstone NAME by WHO                 a reversal that came before its payment
//	deposit, withdraw KEY WHO AMOUNT CUR  prefunding
//	propose-cap KEY WHO AMOUNT CUR by NAME, approve-cap and reject-cap KEY by NAME
//	alarms   on                           holds say which part of the limit they reach
//	open     MODEL METHOD                 first window of a settlement model; the default one without words
//	close    model MODEL                  then "as METHOD", "value DATE", "cut-off TIME", "by CALENDAR"
//	collect, pay  WINDOW WHO AMOUNT CUR   a leg that the agent has confirmed; "id X" of the instruction
//	move     WINDOW WHO to WHO AMOUNT CUR a leg between two
//	short    WINDOW WHO AMOUNT CUR id X   the agent refused it; "to WHO" between two
//	cover    WINDOW WHO by WHO AMOUNT CUR id X
//	ask, no-cover WINDOW WHO by WHO AMOUNT CUR id X   somebody is about to be asked to cover; the agent refused that
//	         Behind each of these six: "says NAME seen EVIDENCE" is one person's word, "agrees NAME seen EVIDENCE" another's
//	take-back WINDOW id X by NAME         that word
//	words    WINDOW                       what waits for another person, and covers that wait for the agent
//	dispute  NAME of NAME AMOUNT CUR by WHO  in the model "disputes"; then "for 72h" to answer, "code C", "key K", "model M"
//	step     NAME STAGE by WHO            then "for 72h"; of a ruling "maker NAME" or "checker NAME", and nobody else
//	disputes                              all of them
//	sponsor  WHO by WHO                   settles for it; nobody without "by"
//	defer    NAME WINDOW for CUR          a payment or a chargeback out of that window, since somebody is short in CUR
//	defer-cover ID WINDOW                 what is owed for a cover
//	recast   WINDOW                       its sheet is drawn up anew
//	legs, items WINDOW                    legs of the sheet, and postings that it is made of
//	explain  WHO CUR                      the entries behind a position; "last N"
//
// A NAME stands for an idempotency key: the second reserve with one is a repeat.
func TestScripts(t *testing.T) {
	scripttest.Run(t, "testdata/*.script", 20, func(t *testing.T, text string) string {
		s := &script{t: t, keeper: newKeeper(), ids: map[string]tongma.PaymentID{}, asker: map[string]tongma.ParticipantID{}}
		got := s.render(text)
		sameBooks(t, replayed(t, s.written), s.book)
		sameAsAudit(t, audited(s.written), s.book)
		if r, err := Audit(t.Context(), batches(t, s.written, 3), AuditOptions{}); err != nil || !r.OK {
			t.Fatalf("audit of the stream: %v %+v", err, r.Findings)
		}
		return got
	})
}

type script struct {
	*keeper
	t     *testing.T
	ids   map[string]tongma.PaymentID
	asker map[string]tongma.ParticipantID
	count uint64

	alarms bool
}

// render runs text, and returns it with what the Book said in place of what was
// expected. Comments and blank lines stay.
func (s *script) render(text string) string {
	var out strings.Builder
	for _, line := range strings.SplitAfter(text, "\n") {
		body, comment, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "#")
		switch {
		case strings.HasPrefix(line, " "):
			continue // came out of the line above
		case strings.TrimSpace(body) == "":
			out.WriteString(line)
			continue
		}
		cmd, _ := splitLast(body, " -> ")
		said, detail := s.do(strings.Fields(cmd))
		result := strings.TrimRight(cmd, " ")
		if said != "" {
			result = strings.TrimRight(body[:len(cmd)], "") + " -> " + said
		}
		if comment != "" {
			result = pad(result, strings.Index(line, "#")) + "#" + comment
		}
		out.WriteString(result + "\n")
		for _, d := range detail {
			out.WriteString("    " + d + "\n")
		}
	}
	return out.String()
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(1, width-len(s)))
}

// splitLast cuts off what is expected: the last arrow, but not the one between
// debtor and creditor.
func splitLast(s, sep string) (before, after string) {
	i := strings.LastIndex(s, sep)
	if i < 0 || (strings.HasPrefix(s, "reserve") && strings.Count(s, sep) < 2) {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i+len(sep):])
}

// words are the tokens of a command that are not taken yet.
type words struct {
	t    *testing.T
	left []string
}

func (w *words) next() string {
	if len(w.left) == 0 {
		w.t.Fatal("a word is missing")
	}
	word := w.left[0]
	w.left = w.left[1:]
	return word
}

func (w *words) who() tongma.ParticipantID { return tongma.ParticipantID(w.next()) }

func (w *words) currency() tongma.Currency {
	c, ok := tongma.CurrencyByCode(w.next())
	if !ok {
		w.t.Fatal("no such currency")
	}
	return c
}

func (w *words) money() tongma.Money {
	amount := w.next()
	m, err := tongma.ParseMoney(amount, w.currency())
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *words) window() tongma.WindowID {
	id, err := tongma.ParseWindowID(w.next())
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// option takes "name value" from anywhere in what is left.
func (w *words) option(name string) string {
	for i := 0; i+1 < len(w.left); i++ {
		if w.left[i] == name {
			value := w.left[i+1]
			w.left = append(w.left[:i:i], w.left[i+2:]...)
			return value
		}
	}
	return ""
}

func (w *words) flag(name string) bool {
	for i := range w.left {
		if w.left[i] == name {
			w.left = append(w.left[:i:i], w.left[i+1:]...)
			return true
		}
	}
	return false
}

func digestOf(text string) (d Digest) {
	if text != "" {
		sum := sha256.Sum256([]byte(text))
		copy(d[:], sum[:])
	}
	return d
}

// do runs one command, and returns what the Book said to it.
func (s *script) do(fields []string) (said string, detail []string) {
	s.t.Helper()
	w := &words{t: s.t, left: fields}
	switch cmd := w.next(); cmd {
	case "cap":
		said = s.say(Entry{Kind: KindCap, Debtor: w.who(), Amount: w.money()})
	case "suspend":
		said = s.say(Entry{Kind: KindSuspend, Debtor: w.who()})
	case "dispute":
		said = s.raise(w)
	case "step":
		said = s.step(w)
	case "disputes":
		said, detail = s.disputes()
	case "sponsor":
		said = s.say(Entry{Kind: KindSponsor, Debtor: w.who(), Creditor: tongma.ParticipantID(w.option("by"))})
	case "resume":
		said = s.say(Entry{Kind: KindResume, Debtor: w.who(), Maker: "ann"})
	case "wait":
		d, err := time.ParseDuration(w.next())
		if err != nil {
			s.t.Fatal(err)
		}
		s.now += d.Milliseconds()
	case "reserve", "refund", "tombstone":
		said = s.ask(cmd, w)
	case "pend", "void", "expire", "reversing", "reversed":
		kind := map[string]Kind{"pend": KindPend, "void": KindVoid, "expire": KindExpire, "reversing": KindReversing, "reversed": KindReversed}[cmd]
		said = s.say(Entry{Kind: kind, Payment: s.ids[w.next()], KeepCode: w.flag("keep-code")})
	case "post":
		said = s.post(w)
	case "fees":
		said, detail = s.fees(w.next())
	case "deposit", "withdraw", "propose-cap", "approve-cap", "reject-cap":
		said = s.order(cmd, w)
	case "alarms":
		s.alarms = w.next() == "on"
	case "take-back":
		said = s.say(Entry{Kind: KindWordRejected, Window: w.window(), SchemeRef: w.option("id"), Checker: w.option("by")})
	case "words":
		said, detail = s.words(w.window())
	case "open", "close", "instruct", "settled", "collect", "pay", "move", "short", "cover", "ask", "no-cover", "again", "pay-again", "recast", "defer", "defer-cover":
		said = s.window(cmd, w)
	case "items":
		said, detail = s.items(w.window())
	case "explain":
		said, detail = s.explain(w)
	case "position":
		said = s.position(w.who(), w.currency())
	case "payment":
		said = s.payment(w.next())
	case "sheet", "matrix", "instructions", "legs":
		said, detail = s.sheet(cmd, w.window())
	default:
		s.t.Fatalf("no command %q", cmd)
	}
	if len(w.left) > 0 {
		s.t.Fatalf("%v is left over of %v", w.left, fields)
	}
	return said, detail
}

func (s *script) post(w *words) string {
	e := Entry{Kind: KindPost, Payment: s.ids[w.next()]}
	if len(w.left) > 0 && w.left[0] != "fee" {
		e.Amount = w.money()
	}
	for w.flag("fee") {
		kind := map[string]schemes.FeeKind{"interchange": schemes.FeeInterchange, "scheme": schemes.FeeScheme, "switch": schemes.FeeSwitch}[w.next()]
		l := Leg{Kind: kind, From: tongma.ParticipantID(w.option("from")), To: tongma.ParticipantID(w.option("to"))}
		l.Amount = w.money()
		if len(w.left) > 0 && w.left[0] == "return" {
			w.next()
			l.OnRefund = schemes.FeeReturn
		}
		e.Legs = append(e.Legs, l)
	}
	return s.say(e)
}

func (s *script) fees(name string) (said string, detail []string) {
	p, _ := s.book.Payment(s.ids[name])
	for _, l := range p.Legs {
		detail = append(detail, fmt.Sprintf("%s: %s pays %s %s, %s", l.Kind, l.From, l.To, l.Amount, l.OnRefund))
	}
	return fmt.Sprintf("%d", len(detail)), detail
}

func (s *script) order(cmd string, w *words) string {
	e := Entry{Kind: map[string]Kind{"deposit": KindDeposit, "withdraw": KindWithdraw, "propose-cap": KindCapProposed,
		"approve-cap": KindCapApproved, "reject-cap": KindCapRejected}[cmd], Key: w.next()}
	by := w.option("by")
	switch e.Kind {
	case KindCapApproved, KindCapRejected:
		e.Checker = by
	default:
		e.Maker, e.Debtor, e.Amount = by, w.who(), w.money()
	}
	return s.say(e)
}

// ask proposes the first entry of a payment, with a fresh id as the switch gives.
func (s *script) ask(cmd string, w *words) string {
	name := w.next()
	s.count++
	e := Entry{Kind: KindHold, Op: tongma.OpPay, Payment: testID(s.count), Key: name, Code: digestOf(w.option("code")), Content: digestOf(w.option("content"))}
	e.Model = w.option("model")
	if key := w.option("key"); key != "" {
		e.Key = key
	}
	if life := w.option("for"); life != "" {
		d, err := time.ParseDuration(life)
		if err != nil {
			s.t.Fatal(err)
		}
		e.Expiry = s.now + d.Milliseconds()
	}
	if op, ok := tongma.ParseOperation(w.option("op")); ok {
		e.Op = op
	}
	switch cmd {
	case "reserve":
		e.Dealer, e.Quote, e.Rate = tongma.ParticipantID(w.option("dealer")), w.option("quote"), strings.ReplaceAll(w.option("rate"), ":", " ")
		e.Debtor = w.who()
		w.next() // the arrow
		e.Creditor = w.who()
		e.Amount = w.money()
		if len(w.left) > 0 && w.left[0] == "gets" {
			w.next()
			e.Target = w.money()
		}
	case "refund":
		e.Op = tongma.OpRefund
		w.next() // "of"
		e.Original = s.ids[w.next()]
		if p, ok := s.book.Payment(e.Original); ok {
			e.Debtor, e.Creditor = p.Creditor, p.Debtor
		}
		if from := w.option("from"); from != "" {
			e.Debtor, e.Creditor = tongma.ParticipantID(from), tongma.ParticipantID(w.option("to"))
		}
		e.Amount = w.money()
	case "tombstone":
		e.Kind = KindTombstone
		e.Creditor = tongma.ParticipantID(w.option("by"))
	}
	e.Asker = e.Creditor
	if e.Op == tongma.OpRefund {
		e.Asker = e.Debtor
	}
	if who, ok := s.asker[e.Key]; ok {
		e.Asker = who
	}
	v, out := s.submit(s.t, e)
	if v.Write {
		s.ids[name], s.asker[e.Key] = out.Payment, out.Asker
	}
	return s.verdict(v, out)
}

func (s *script) say(e Entry) string {
	v, out := s.submit(s.t, e)
	return s.verdict(v, out)
}

// verdict puts what the Book said in one or two words.
func (s *script) verdict(v Verdict, e Entry) string {
	past := map[Kind]string{KindHold: "held", KindPend: "pending", KindPost: "posted", KindVoid: "voided", KindExpire: "expired", KindCapProposed: "proposed",
		KindCapApproved: "approved", KindCapRejected: "rejected", KindDeposit: "done", KindWithdraw: "done", KindRefuse: "refused",
		KindClose: "closed", KindInstruct: "instructed", KindSettle: "confirmed", KindOpen: "opened", KindDefer: "deferred", KindDispute: "raised",
		KindCoverAsked: "asked", KindCoverRefused: "not covered", KindRetry: "tried again", KindWord: "waits for a second person", KindWordRejected: "taken back"}
	if e.Kind == KindDisputeStep && v.Write {
		return e.Stage.String()
	}
	name, ok := past[e.Kind]
	if !ok {
		name = e.Kind.String()
	}
	switch {
	case v.Write && v.Reason != tongma.NoReason:
		return name + " " + v.Reason.String()
	case v.Write && s.alarms && v.Crossed > 0:
		return fmt.Sprintf("%s at %d %%", name, v.Crossed)
	case v.Write && (e.Kind == KindPost || e.Kind == KindReversed) && e.Window != 0:
		return name + " in " + e.Window.String()
	case v.Write && (e.Kind == KindCap || e.Kind == KindSuspend || e.Kind == KindResume || e.Kind == KindSponsor):
		return "done"
	case v.Write:
		return name
	case v.Exists && v.Reason == tongma.NoReason:
		return "exists"
	}
	return v.Reason.String()
}

func (s *script) deadline(w *words) int64 {
	life := w.option("for")
	if life == "" {
		return 0
	}
	d, err := time.ParseDuration(life)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.now + d.Milliseconds()
}

func (s *script) raise(w *words) string {
	name := w.next()
	s.count++
	e := Entry{Kind: KindDispute, Payment: testID(s.count), Key: cmp.Or(w.option("key"), name), Model: cmp.Or(w.option("model"), "disputes"), Expiry: s.deadline(w), SchemeRef: w.option("code"),
		Asker: tongma.ParticipantID(w.option("by")), Original: s.ids[w.option("of")]}
	e.Amount = w.money()
	v, out := s.submit(s.t, e)
	if v.Write {
		s.ids[name] = out.Payment
	}
	return s.verdict(v, out)
}

func (s *script) step(w *words) string {
	e := Entry{Kind: KindDisputeStep, Payment: s.ids[w.next()], Expiry: s.deadline(w), Asker: tongma.ParticipantID(w.option("by")), Maker: w.option("maker"), Checker: w.option("checker")}
	var err error
	if e.Stage, err = dispute.ParseStage(w.next()); err != nil {
		s.t.Fatal(err)
	}
	v, out := s.submit(s.t, e)
	if v.Write && out.Window != 0 {
		return out.Stage.String() + ", charged back in " + out.Window.String()
	}
	return s.verdict(v, out)
}

func (s *script) disputes() (said string, detail []string) {
	for _, d := range s.book.Disputes(func(*Dispute) bool { return true }) {
		line := fmt.Sprintf("%s of %s: %s against %s, %s, %s", s.name(d.ID), s.name(d.Payment), d.Raiser, d.Respondent, d.Amount, d.Stage)
		if d.Deadline != 0 {
			line += ", until " + time.UnixMilli(d.Deadline).UTC().Format("2006-01-02 15:04")
		}
		if d.Window != 0 {
			line += ", charged back in " + d.Window.String()
		}
		if d.Maker != "" {
			line += fmt.Sprintf(", ruled by %s and %s", d.Maker, cmp.Or(d.Checker, "nobody yet"))
		}
		detail = append(detail, line)
	}
	return fmt.Sprintf("%d, %d late", len(detail), len(s.book.DisputesOver(s.now))), detail
}

var methods = map[string]calendar.Model{"": calendar.NoModel, "multilateral": calendar.Multilateral, "bilateral": calendar.Bilateral, "gross": calendar.Gross}

func (s *script) window(cmd string, w *words) string {
	e := Entry{Kind: map[string]Kind{"open": KindOpen, "close": KindClose, "instruct": KindInstruct, "settled": KindSettled,
		"collect": KindSettle, "pay": KindSettle, "move": KindSettle, "short": KindShort, "cover": KindCover, "ask": KindCoverAsked, "no-cover": KindCoverRefused, "again": KindRetry, "pay-again": KindRetry, "recast": KindRecast, "defer": KindDefer}[cmd]}
	switch {
	case cmd == "open" && len(w.left) > 0:
		e.Model, e.Method = w.next(), methods[w.next()]
		return s.say(e)
	case cmd == "close":
		s.closing(&e, w)
	case cmd == "defer":
		if e.Payment = s.ids[w.next()]; e.Payment.IsZero() {
			e.Payment = testID(999)
		}
		e.SchemeRef = w.option("for")
	case cmd == "defer-cover":
		e.Kind, e.SchemeRef = KindDefer, w.next()
	}
	if cmd == "open" || (cmd == "close" && len(w.left) == 0) {
		return s.say(e)
	}
	e.Window = w.window()
	if of := w.option("sheet"); of != "" { // the hash of something else
		e.Hash = sha256.Sum256([]byte(of))
	}
	if id := w.option("id"); id != "" {
		e.SchemeRef = id
	}
	e.Key, e.Checker = w.option("seen"), w.option("agrees")
	says := w.option("says")
	switch cmd {
	case "collect":
		e.Debtor, e.Amount = w.who(), w.money()
	case "pay", "pay-again":
		e.Creditor, e.Amount = w.who(), w.money()
	case "move", "short", "again":
		e.Creditor, e.Debtor, e.Amount = tongma.ParticipantID(w.option("to")), w.who(), w.money()
	case "cover", "ask", "no-cover":
		e.Asker, e.Creditor, e.Debtor, e.Amount = tongma.ParticipantID(w.option("to")), tongma.ParticipantID(w.option("by")), w.who(), w.money()
	}
	if says != "" {
		if e.Kind == KindShort || e.Kind == KindCoverRefused {
			e.Reason = tongma.AgentRejected
		}
		e.Kind, e.Maker = KindWord, says
	}
	return s.say(e)
}

// words lists what waits under the instructions of a window.
func (s *script) words(id tongma.WindowID) (said string, detail []string) {
	for _, x := range s.book.Words(id) {
		detail = append(detail, fmt.Sprintf("%s says %s of %s by %s: %s, seen %s", x.Maker, x.Kind, x.Instruction, cmp.Or(x.Payer, x.Debtor, "the agent"), x.Amount, x.Evidence))
	}
	for _, x := range s.book.Asked(id) {
		detail = append(detail, fmt.Sprintf("%s was asked for %s by %s", x.Payer, x.Amount, x.Instruction))
	}
	return fmt.Sprint(len(detail)), detail
}

func (s *script) closing(e *Entry, w *words) {
	e.Model, e.Method, e.Calendar = w.option("model"), methods[w.option("as")], w.option("by")
	if date := w.option("value"); date != "" {
		if _, err := fmt.Sscan(date, &e.ValueDate); err != nil {
			s.t.Fatal(err)
		}
	}
	if at := w.option("cut-off"); at != "" {
		cutoff, err := time.Parse(time.RFC3339, at)
		if err != nil {
			s.t.Fatal(err)
		}
		e.Cutoff = cutoff.UnixMilli()
	}
}

// name returns what a script calls a payment.
func (s *script) name(id tongma.PaymentID) string {
	for name, other := range s.ids {
		if other == id && !id.IsZero() {
			return name
		}
	}
	return "-"
}

func (s *script) items(id tongma.WindowID) (said string, detail []string) {
	s.book.WindowPayments(id, func(it WindowItem) bool {
		line := fmt.Sprintf("%s %s: %s pays %s %s", it.Kind, s.name(it.Payment), it.Debtor, it.Creditor, it.Amount)
		if it.Dealer != "" {
			line = fmt.Sprintf("%s %s: %s pays %s %s, %s pays %s %s", it.Kind, s.name(it.Payment), it.Debtor, it.Dealer, it.Amount, it.Dealer, it.Creditor, it.Target)
		}
		for _, l := range it.Legs {
			line += fmt.Sprintf(", fee of %s to %s %s", l.From, l.To, l.Amount.Decimal())
		}
		if it.DeferredIn {
			line += ", deferred to here"
		}
		if it.DeferredTo != 0 {
			line += ", deferred to " + it.DeferredTo.String()
		}
		detail = append(detail, line)
		return true
	})
	return fmt.Sprint(len(detail)), detail
}

func (s *script) explain(w *words) (said string, detail []string) {
	limit := 0
	if last := w.option("last"); last != "" {
		if _, err := fmt.Sscan(last, &limit); err != nil {
			s.t.Fatal(err)
		}
	}
	x := s.book.Explain(w.who(), w.currency(), limit)
	decimal := func(minor int64) string { return tongma.Money{Minor: minor, Currency: x.Currency}.Decimal() }
	position, reserved := x.Earlier.Position, x.Earlier.Reserved
	if x.Earlier.Lines > 0 {
		detail = append(detail, fmt.Sprintf("%d before: %s held %s", x.Earlier.Lines, decimal(position), decimal(reserved)))
	}
	for _, l := range x.Lines {
		position, reserved = position+l.Position, reserved+l.Reserved
		line := fmt.Sprintf("%d %s %s in %s: %s", l.Entry, l.Kind, s.name(l.Payment), l.Window, decimal(l.Position))
		if l.Reserved != 0 {
			line += " held " + decimal(l.Reserved)
		}
		detail = append(detail, line)
	}
	if position != x.Position || reserved != x.Reserved {
		s.t.Errorf("the lines add up to %d and %d, the position is %d and %d", position, reserved, x.Position, x.Reserved)
	}
	return decimal(x.Position) + " held " + decimal(x.Reserved), detail
}

func (s *script) position(who tongma.ParticipantID, c tongma.Currency) string {
	for _, p := range s.book.Positions() {
		if p.Participant != who || p.Currency != c {
			continue
		}
		said := tongma.Money{Minor: p.Position, Currency: c}.Decimal() + " held " + tongma.Money{Minor: p.Reserved, Currency: c}.Decimal()
		if p.Prefunded != 0 {
			said += " prefunded " + tongma.Money{Minor: p.Prefunded, Currency: c}.Decimal()
		}
		if p.Sponsor != "" {
			said += fmt.Sprintf(", through %s %s held %s", p.Sponsor, tongma.Money{Minor: p.MemoPosition, Currency: c}.Decimal(), tongma.Money{Minor: p.MemoReserved, Currency: c}.Decimal())
		}
		if p.Suspended {
			said += " suspended"
		}
		return said
	}
	return "none"
}

func (s *script) payment(name string) string {
	p, ok := s.book.Payment(s.ids[name])
	if !ok {
		return "none"
	}
	said := fmt.Sprintf("%s, asked in %s", p.Phase, p.AuthWindow)
	if p.Posted {
		said += ", posted in " + p.Window.String()
		if p.Captured != p.Amount.Minor {
			said += fmt.Sprintf(", %s of %s", tongma.Money{Minor: p.Captured, Currency: p.Amount.Currency}.Decimal(), p.Amount.Decimal())
		}
	}
	back := cmp.Or(p.Target.Currency, p.Amount.Currency)
	if p.Refunded+p.Refunding > 0 {
		said += fmt.Sprintf(", refunded %s, under way %s", tongma.Money{Minor: p.Refunded, Currency: back}.Decimal(), tongma.Money{Minor: p.Refunding, Currency: back}.Decimal())
	}
	if p.Dealer != "" {
		said += fmt.Sprintf(", through %s for %s", p.Dealer, p.Target)
	}
	if p.Disputed+p.ChargedBack > 0 {
		said += fmt.Sprintf(", disputed %s, charged back %s", tongma.Money{Minor: p.Disputed, Currency: back}.Decimal(), tongma.Money{Minor: p.ChargedBack, Currency: back}.Decimal())
	}
	if p.Reason != tongma.NoReason {
		said += ", " + p.Reason.String()
	}
	return said
}

func (s *script) legs(sheet *Sheet) (detail []string) {
	decimal := func(minor int64, c tongma.Currency) string { return tongma.Money{Minor: minor, Currency: c}.Decimal() }
	who := func(p tongma.ParticipantID) string { return cmp.Or(string(p), "the agent") }
	for _, l := range sheet.Legs {
		line := fmt.Sprintf("%s %s pays %s %s, settled %s, due %s", l.Currency, who(l.Debtor), who(l.Creditor), decimal(l.Net, l.Currency), decimal(l.Settled, l.Currency), decimal(l.Due, l.Currency))
		if l.Tries > 0 {
			line += fmt.Sprintf(", refused %d", l.Tries)
		}
		if l.Short {
			line += ", short"
		}
		detail = append(detail, line)
	}
	for _, t := range sheet.Totals {
		detail = append(detail, fmt.Sprintf("%s to move %s of %s, %d.%02d %%", t.Currency, decimal(t.ToMove, t.Currency), decimal(t.Gross, t.Currency), t.Compression()/100, t.Compression()%100))
	}
	return detail
}

func (s *script) sheet(cmd string, id tongma.WindowID) (said string, detail []string) {
	sheet, ok := s.book.Sheet(id)
	if !ok {
		return "none", nil
	}
	decimal := func(minor int64, c tongma.Currency) string { return tongma.Money{Minor: minor, Currency: c}.Decimal() }
	said = sheet.State.String()
	switch cmd {
	case "sheet":
		for _, n := range sheet.Nets {
			detail = append(detail, fmt.Sprintf("%s %s owes %s, is owed %s, net %s", n.Currency, n.Participant,
				decimal(n.Debits, n.Currency), decimal(n.Credits, n.Currency), decimal(n.Net, n.Currency)))
		}
	case "matrix":
		for _, o := range sheet.Matrix {
			line := fmt.Sprintf("%s %s owes %s %s in %d", o.Currency, o.Debtor, o.Creditor, decimal(o.Gross, o.Currency), o.Count)
			if o.Fees != 0 {
				line += ", fees " + decimal(o.Fees, o.Currency)
			}
			detail = append(detail, line)
		}
	case "legs":
		said = sheet.Progress.String()
		if sheet.Recasting {
			said += ", being recast"
		}
		detail = s.legs(&sheet)
	case "instructions":
		for _, in := range Instruct(sheet) {
			verb := "pay " + string(in.Creditor)
			switch {
			case in.Debit && in.Creditor != "":
				verb = fmt.Sprintf("move %s to %s", in.Debtor, in.Creditor)
			case in.Debit:
				verb = "collect " + string(in.Debtor)
			}
			detail = append(detail, fmt.Sprintf("%s %s", verb, in.Amount))
		}
	}
	if len(detail) == 0 {
		detail = []string{"nothing"}
	}
	return said, detail
}
