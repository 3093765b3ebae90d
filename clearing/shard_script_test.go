package clearing

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/scripttest"
)

// TestShardScripts runs testdata/shards/*.script: what several shards do as one switch,
// line by line. Behind an arrow stands what they say. Behind the last line every
// journal is replayed and audited, and all of them against each other.
//
//	shards   N                                so many, of one switch
//	cap      WHO AMOUNT                       where it is at home
//	pay      KEY WHO -> WHO AMOUNT [at S]     asked at the door of shard S; the payee is the asker
//	refund   KEY of KEY AMOUNT                by the payee; without room, and with what it obtains
//	post     KEY
//	room     WHO AMOUNT from S to S           leaves; "arrive S from S" takes it in, as often as you like
//	sweep    S                                what lies astray in S leaves for home
//	close, settle                             of the head; "follow S" what another shard does then, "follow S steps N" as far as that
//	move     WHO to S [steps N]               "finish S" goes on where it was cut off
//	crash    S                                it forgets all but its journal
//	where    WHO                              what it has, by shard
//	net      N                                the sheet of window N of the head
//	whole    MODEL                            its window closes, and the others hand over theirs
//	in       S COMMAND                        a command of TestScripts, in shard S
//	grow     S                                shard S knows of one more; "join" makes that
//	quiet                                     all that is on its way arrives
func TestShardScripts(t *testing.T) {
	scripttest.Run(t, "testdata/shards/*.script", 4, func(t *testing.T, text string) string {
		s := &shardScript{t: t, payments: map[string]Entry{}, at: map[string]uint16{}, ids: map[string]tongma.PaymentID{}, in: map[uint16]*script{}}
		got := s.render(text)
		s.m.audit()
		for _, k := range s.m.shards {
			sameBooks(t, replayed(t, k.written), k.book)
			snapshotAndTail(t, k.written, k.book, len(k.written)/2)
			snapshotAndTail(t, k.written, k.book, len(k.written))
		}
		return got
	})
}

type shardScript struct {
	t        *testing.T
	m        *market
	payments map[string]Entry
	at       map[string]uint16
	ids      map[string]tongma.PaymentID
	in       map[uint16]*script
	detail   []string // what came out of a line besides its answer
}

func (s *shardScript) render(text string) string {
	var out strings.Builder
	for _, line := range strings.SplitAfter(text, "\n") {
		body, comment, has := strings.Cut(strings.TrimSuffix(line, "\n"), "#")
		if strings.HasPrefix(line, " ") {
			continue // came out of the line above
		}
		if body = strings.TrimSpace(body); body == "" {
			out.WriteString(line)
			continue
		}
		asked, _, _ := strings.Cut(body, " => ")
		s.detail = nil
		fmt.Fprintf(&out, "%-46s => %s", strings.TrimSpace(asked), s.do(strings.Fields(strings.ReplaceAll(asked, "->", ""))))
		if has {
			out.WriteString("   #" + comment)
		}
		out.WriteString("\n")
		for _, d := range s.detail {
			out.WriteString("    " + d + "\n")
		}
	}
	return out.String()
}

func (s *shardScript) number(word string) uint16 {
	n, err := strconv.ParseUint(word, 10, 16)
	if err != nil {
		s.t.Fatal(err)
	}
	return uint16(n)
}

func (s *shardScript) amount(word string) int64 {
	figure, debt := strings.CutPrefix(word, "-")
	m, err := tongma.ParseMoney(figure, tongma.CNY)
	if err != nil {
		s.t.Fatal(err)
	}
	if debt {
		return -m.Minor
	}
	return m.Minor
}

// wordOf returns what stands behind a word of a line, or otherwise.
func wordOf(line []string, name, otherwise string) string {
	for i := range len(line) - 1 {
		if line[i] == name {
			return line[i+1]
		}
	}
	return otherwise
}

func said(v Verdict, done string) string {
	switch {
	case v.Exists:
		return "exists"
	case v.Reason != tongma.NoReason:
		return v.Reason.String()
	}
	return done
}

func (s *shardScript) do(line []string) string {
	m := s.m
	switch line[0] {
	case "shards":
		s.m = newMarket(s.t, int(s.number(line[1])))
		return "shard 1 is the head"
	case "cap":
		who := tongma.ParticipantID(line[1])
		m.cap(who, s.amount(line[2]))
		at, _ := m.at(1).book.Home(who)
		return fmt.Sprintf("at home in shard %d", at)
	case "pay":
		e := hold(0, tongma.ParticipantID(line[2]), tongma.ParticipantID(line[3]), s.amount(line[4]))
		e.Payment, e.Key = m.id(), line[1]
		at, v := m.pay(s.number(wordOf(line, "at", "1")), e)
		if v.Exists || v.Reason != tongma.NoReason {
			return said(v, "") + fmt.Sprintf(" in shard %d", at)
		}
		s.payments[line[1]], s.at[line[1]], s.ids[line[1]] = e, at, e.Payment
		return fmt.Sprintf("held in shard %d", at)
	case "refund":
		return s.refund(line)
	case "post":
		v, _ := m.at(s.at[line[1]]).submit(s.t, Entry{Kind: KindPost, Payment: s.payments[line[1]].Payment})
		return said(v, "posted")
	case "room":
		from, to := s.number(wordOf(line, "from", "")), s.number(wordOf(line, "to", ""))
		v, e := m.at(from).submit(s.t, Entry{Kind: KindCarryOut, Debtor: tongma.ParticipantID(line[1]), Shard: to, Amount: tongma.Money{Minor: s.amount(line[2]), Currency: tongma.CNY}})
		return said(v, fmt.Sprintf("left shard %d for shard %d as number %d", from, to, e.Sequence))
	case "arrive":
		to, from := s.number(line[1]), s.number(wordOf(line, "from", ""))
		before := m.at(to).book.CarriesIn(from)
		m.push(from, to)
		return fmt.Sprintf("%d came in", m.at(to).book.CarriesIn(from)-before)
	case "sweep":
		m.sweep(s.number(line[1]))
		return fmt.Sprintf("%d astray", len(m.at(s.number(line[1])).book.Astray()))
	case "close":
		w := m.close()
		sheet, _ := m.at(Head).book.Sheet(w)
		return fmt.Sprintf("%s awaits shards %v", w, sheet.Awaited)
	case "follow":
		m.follow(s.number(line[1]), int(s.number(wordOf(line, "steps", "60000"))))
		return "head awaits " + s.awaited()
	case "settle":
		if v, _ := m.at(Head).submit(s.t, Entry{Kind: KindInstruct, Window: tongma.WindowID(s.number(line[1]))}); v.Reason != tongma.NoReason {
			return v.Reason.String()
		}
		m.settle(tongma.WindowID(s.number(line[1])))
		return "settled"
	}
	return s.more(line)
}

func (s *shardScript) more(line []string) string {
	m := s.m
	switch line[0] {
	case "move":
		m.move(tongma.ParticipantID(line[1]), s.number(wordOf(line, "to", "")), int(s.number(wordOf(line, "steps", "60000"))))
		return m.positionsOf(tongma.ParticipantID(line[1]))
	case "finish":
		m.finishMoves(s.number(line[1]), 60000)
		return "finished"
	case "grow":
		m.grow(s.number(line[1]))
		_, count := m.at(s.number(line[1])).book.Shard()
		return fmt.Sprintf("it knows of %d shards", count)
	case "join":
		m.join()
		return fmt.Sprintf("shard %d is empty", len(m.shards))
	case "crash":
		m.crash(s.number(line[1]))
		return "read again"
	case "in":
		return s.inside(s.number(line[1]), line[2:])
	case "whole":
		return s.whole(wordOf(line, "whole", ""))
	case "quiet":
		m.quiet()
		if under := m.audit().UnderWay; len(under) > 0 {
			return fmt.Sprintf("%d are on the way", len(under))
		}
		return "quiet"
	case "where":
		return m.positionsOf(tongma.ParticipantID(line[1]))
	case "net":
		sheet, _ := m.at(Head).book.Sheet(tongma.WindowID(s.number(line[1])))
		text := sheet.State.String()
		for _, n := range sheet.Nets {
			text += fmt.Sprintf("; %s %s", n.Participant, yuanOf(n.Net))
		}
		return text
	}
	s.t.Fatalf("no such command: %v", line)
	return ""
}

// inside runs a command of a single Book in one of the shards.
func (s *shardScript) inside(shard uint16, line []string) string {
	one := s.in[shard]
	if one == nil {
		one = &script{t: s.t, keeper: s.m.at(shard), ids: s.ids, asker: map[string]tongma.ParticipantID{}, count: 1000 * uint64(shard)}
		s.in[shard] = one
	}
	said, detail := one.do(line)
	s.detail = detail
	return said
}

// whole closes the window of a model in the head, and has the others follow.
func (s *shardScript) whole(model string) string {
	v, e := s.m.at(Head).submit(s.t, Entry{Kind: KindClose, Model: model})
	for o := range s.m.shards[1:] {
		s.m.follow(uint16(o+2), 1<<30)
	}
	return said(v, fmt.Sprintf("%s, head awaits %s", e.Window, s.awaited()))
}

// refund holds one in the shard of its original; if there is no room for it, that is
// asked for at the acquirer's home first.
func (s *shardScript) refund(line []string) string {
	m, of, at := s.m, s.payments[line[3]], s.at[line[3]]
	e := hold(0, of.Creditor, of.Debtor, s.amount(line[4]))
	e.Payment, e.Key, e.Op, e.Original, e.Try = m.id(), line[1], tongma.OpRefund, of.Payment, true
	if owner := OwnerOf(e.Asker, e.Key, m.spread); owner != at {
		m.at(owner).submit(s.t, Entry{Kind: KindClaim, Asker: e.Asker, Key: e.Key, Shard: at})
	}
	text := ""
	v, _ := m.at(at).submit(s.t, e)
	if v.Reason == tongma.OverCap && !v.Write {
		who, lacks := m.at(at).book.Lacking(e.Debtor, e.Amount)
		home, _ := m.at(at).book.Home(who)
		m.at(home).submit(s.t, Entry{Kind: KindCarryOut, Debtor: who, Shard: at, Amount: tongma.Money{Minor: lacks, Currency: tongma.CNY}})
		m.push(home, at)
		text = fmt.Sprintf(", with %s of room from shard %d", yuanOf(lacks), home)
		e.Try = false
		v, _ = m.at(at).submit(s.t, e)
	}
	s.payments[line[1]], s.at[line[1]] = e, at
	return said(v, fmt.Sprintf("held in shard %d", at)) + text
}

// awaited says which shards the head's windows still wait for.
func (s *shardScript) awaited() string {
	var parts []string
	for _, sheet := range s.m.at(Head).book.Sheets(0) {
		if len(sheet.Awaited) > 0 {
			parts = append(parts, fmt.Sprintf("%v for %s", sheet.Awaited, sheet.Window))
		}
	}
	if len(parts) == 0 {
		return "nobody"
	}
	return strings.Join(parts, ", ")
}
