package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// story is a journal written by hand: what each line moves can be added up in the
// head. "a>b" is a debtor and a creditor, "a>" a debtor alone; a sheet is written as its
// window, its entries and its figures.
const story = `
1  open      window=1
2  directory
3  cap       bank> 1000 CNY
4  cap       shop> 1000 CNY
5  hold      p1 bank>shop 700 CNY asker=shop key=k1
6  pend      p1 bank>shop 700 CNY
7  post      p1 bank>shop 600 CNY window=1 fees=interchange:shop>bank:5:return,scheme:shop>club:3:keep
8  hold      p2 bank>shop 300 CNY asker=shop key=k2
9  void      p2 bank>shop 300 CNY
10 refuse    p3 bank>shop 9999 CNY asker=shop key=k3
11 hold      r1 shop>bank 200 CNY asker=shop key=k4 operation=refund original=p1
12 post      r1 shop>bank 200 CNY window=1 fees=interchange:bank>shop:2:return
13 hold      r2 shop>bank 200 CNY asker=shop key=k5 operation=refund original=p1
14 post      r2 shop>bank 100 CNY window=1
15 hold      r3 shop>bank 300 CNY asker=shop key=k6 operation=refund original=p1
16 post      r3 shop>bank 300 CNY window=1 fees=interchange:bank>shop:3:return
17 hold      p4 bank>shop 50 CNY asker=shop key=k7 expiry=2026-11-22T10:00:17.000Z
18 expire    p4 bank>shop 50 CNY
19 tombstone p5 asker=shop key=k8
20 hold      p6 bank>shop 40 CNY asker=shop key=k9
21 post      p6 bank>shop 40 CNY window=1 fees=switch:shop>hub:1:keep
22 reversing p6 bank>shop 40 CNY
23 reversed  p6 bank>shop 40 CNY window=1 fees=switch:hub>shop:1:keep
24 close     window=1
25 instruct  window=1 sheet=1/1-24/bank:0,club:-3,hub:0,shop:3
26 settle    shop> 3 CNY window=1 sheet=1/1-24/bank:0,club:-3,hub:0,shop:3
27 settle    >club 3 CNY window=1 sheet=1/1-24/bank:0,club:-3,hub:0,shop:3
28 settled   window=1 sheet=1/1-24/bank:0,club:-3,hub:0,shop:3
29 cap-proposed bank> 2000 CNY key=c1 maker=ann
30 cap-approved bank> 2000 CNY key=c1 maker=ann checker=bob
31 cap-proposed bank> 9000 CNY key=c2 maker=ann
32 cap-rejected bank> 9000 CNY key=c2 maker=ann checker=bob
33 deposit   bank> 500 CNY key=d1
34 hold      p7 bank>shop 2400 CNY asker=shop key=k10
35 withdraw  bank> 100 CNY key=d2
36 suspend   bank>
37 reversing p7 bank>shop 2400 CNY
38 reversed  p7 bank>shop 2400 CNY
39 resume    bank>
`

// written returns the lines of a story as JSON. Changes stand in for the lines of
// the same number, and are divided by semicolons.
func written(t *testing.T, story, changes string) io.Reader {
	t.Helper()
	instead := map[string][]string{}
	for _, change := range strings.Split(changes, ";") {
		if words := strings.Fields(change); len(words) > 0 {
			instead[words[0]] = words
		}
	}
	var b bytes.Buffer
	n := 0
	for _, text := range strings.Split(strings.TrimSpace(story), "\n") {
		words := strings.Fields(text)
		n++
		if other := instead[words[0]]; other != nil {
			words = other
		}
		l := map[string]any{"time": fmt.Sprintf("2026-11-22T10:00:%02d.000Z", n), "kind": words[1]}
		for i, w := range words {
			if i != 1 {
				putWord(l, i, w)
			}
		}
		if err := json.NewEncoder(&b).Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	return &b
}

// putWord puts one word of a story into a line.
func putWord(l map[string]any, at int, w string) {
	number, err := strconv.ParseInt(w, 10, 64)
	name, value, named := strings.Cut(w, "=")
	from, to, parties := strings.Cut(w, ">")
	switch {
	case at == 0:
		l["entry"] = number
	case err == nil:
		l["amount_minor"] = number
	case name == "fees":
		l["fees"] = storyFees(value)
	case name == "sheet":
		l["sheet_hash"] = storySheet(value)
	case name == "ref":
		l["scheme_ref"] = value
	case name == "rate":
		l["rate"] = strings.ReplaceAll(value, "_", " ")
	case name == "gets":
		number, _ := strconv.ParseInt(value[:len(value)-3], 10, 64)
		l["target_minor"], l["target_currency"] = number, value[len(value)-3:]
	case named:
		l[name] = value
		if number, err := strconv.ParseUint(value, 10, 64); err == nil {
			l[name] = number
		}
	case parties:
		l["debtor"], l["creditor"] = from, to
	case w == strings.ToUpper(w):
		l["currency"] = w
	default:
		l["payment"] = w
	}
}

func storyFees(text string) (fees []map[string]any) {
	for _, one := range strings.Split(text, ",") {
		part := strings.Split(one, ":")
		from, to, _ := strings.Cut(part[1], ">")
		minor, _ := strconv.ParseInt(part[2], 10, 64)
		fees = append(fees, map[string]any{"fee": part[0], "from": from, "to": to, "fee_minor": minor, "on_refund": part[3]})
	}
	return fees
}

// storySheet makes the hash of a sheet from its window, entries and figures; then, if
// they are not the figures, from its model, its method and its legs.
func storySheet(text string) string {
	part := strings.Split(text, "/")
	b := fmt.Appendf(nil, "tongma net sheet 1\nwindow %s\nentries %s\n", part[0], strings.ReplaceAll(part[1], "-", " "))
	if len(part) > 3 {
		b = fmt.Appendf(b, "model %s\n", strings.ReplaceAll(part[3], ":", " "))
	}
	for _, one := range strings.Split(part[2], ",") {
		b = fmt.Appendf(b, "CNY %s\n", strings.ReplaceAll(one, ":", " "))
	}
	if len(part) > 4 {
		for _, one := range strings.Split(part[4], ",") {
			b = fmt.Appendf(b, "CNY %s\n", strings.NewReplacer(">", " pays ", ":", " ").Replace(one))
		}
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestAJournalWrittenByHandAddsUp(t *testing.T) {
	sheets, positions, err := Recompute(written(t, story, ""))
	if err != nil {
		t.Fatal(err)
	}
	for who, want := range map[tongma.ParticipantID]Standing{"bank": {Cap: 2000, Capped: true, Prefunding: 400}, "shop": {Cap: 1000, Capped: true}, "club": {}, "hub": {}} {
		if got := positions[Account{who, tongma.CNY}]; got != want {
			t.Errorf("%s: %+v, want %+v", who, got, want)
		}
	}
	w := sheets[0]
	if len(sheets) != 2 || w.State != "settled" || w.Payments != 6 {
		t.Fatalf("%d windows, the first %+v", len(sheets), w)
	}
	for pair, want := range map[Pair]Cell{{"bank", "shop", tongma.CNY}: {Gross: 600 + 40 + 5, Count: 2}, {"shop", "bank", tongma.CNY}: {Gross: 200 + 100 + 300 + 40 + 5, Count: 4},
		{"shop", "club", tongma.CNY}: {Gross: 3}, {"shop", "hub", tongma.CNY}: {Gross: 1}, {"hub", "shop", tongma.CNY}: {Gross: 1}} {
		if w.Matrix[pair] != want {
			t.Errorf("%v: %+v, want %+v", pair, w.Matrix[pair], want)
		}
	}
}

// TestJournalThatDoesNotAddUpIsRefused: one line is changed at a time in a good
// journal, and each is found where it stands.
func TestJournalThatDoesNotAddUpIsRefused(t *testing.T) {
	for _, tt := range []struct{ name, line, says string }{
		{"over the cap", "8 hold p2 bank>shop 801 CNY asker=shop key=k2", "past its cap"},
		{"held twice", "8 hold p1 bank>shop 300 CNY asker=shop key=k2", "there before"},
		{"a key twice", "8 hold p2 bank>shop 300 CNY asker=shop key=k1", "used before"},
		{"nothing held", "8 hold p2 bank>shop 0 CNY asker=shop key=k2", "needs an amount"},
		{"nobody paid", "8 hold p2 bank> 300 CNY asker=shop key=k2", "needs an amount and a creditor"},
		{"no account", "8 hold p2 bank>shop 300 XXQ asker=shop key=k2", "names no account"},
		{"no cap", "8 hold p2 club>shop 1 CNY asker=shop key=k2", "no cap in CNY"},
		{"posted twice", "9 post p1 bank>shop 600 CNY window=1", `has come to "post"`},
		{"never held", "9 void p9 bank>shop 300 CNY", "never held"},
		{"refused, then posted", "11 post p3 bank>shop 9999 CNY window=1", "never held"},
		{"another debtor than the hold's", "7 post p1 shop>bank 600 CNY window=1", "but the hold is of bank"},
		{"more than was held", "7 post p1 bank>shop 701 CNY window=1", "701 are posted of 700"},
		{"another currency than the hold's", "7 post p1 bank>shop 600 USD window=1", "but the hold"},
		{"voided of another amount", "9 void p2 bank>shop 299 CNY", "another amount"},
		{"a void with a fee", "9 void p2 bank>shop 300 CNY fees=switch:shop>hub:1:keep", "moves nothing"},
		{"another window's posting", "7 post p1 bank>shop 600 CNY window=2", "while 1 is open"},
		{"a fee to oneself", "7 post p1 bank>shop 600 CNY window=1 fees=switch:shop>shop:1:keep", "a fee of 1"},
		{"a fee below zero", "7 post p1 bank>shop 600 CNY window=1 fees=switch:shop>hub:-1:keep", "a fee of -1"},
		{"a refund of what was not paid", "11 hold r1 shop>bank 200 CNY asker=shop key=k4 operation=refund original=p2", "not paid"},
		{"a refund to somebody else", "11 hold r1 shop>club 200 CNY asker=shop key=k4 operation=refund original=p1", "not paid"},
		{"refunds past the posting", "15 hold r3 shop>bank 301 CNY asker=shop key=k6 operation=refund original=p1", "601 refunded, 0 disputed"},
		{"too much of a fee goes back", "12 post r1 shop>bank 200 CNY window=1 fees=interchange:bank>shop:3:return", "those that go back"},
		{"a fee does not go back", "16 post r3 shop>bank 300 CNY window=1", "those that go back"},
		{"a kept fee goes back", "12 post r1 shop>bank 200 CNY window=1 fees=interchange:bank>shop:2:return,scheme:club>shop:1:keep", "those that go back"},
		{"dropped too early", "17 hold p4 bank>shop 50 CNY asker=shop key=k7 expiry=2026-11-22T10:00:18.000Z", "to be kept until"},
		{"dropped without a term", "17 hold p4 bank>shop 50 CNY asker=shop key=k7", "to be kept until"},
		{"a refunded payment is undone", "22 reversing p1 bank>shop 600 CNY", "cannot be undone"},
		{"undone without being asked", "22 reversed p6 bank>shop 40 CNY window=1", `has come to "post"`},
		{"undone, its fee kept", "23 reversed p6 bank>shop 40 CNY window=1", "those that go back"},
		{"an unknown kind", "9 gift p2 bank>shop 300 CNY", "no such kind"},
		{"two first windows", "2 open window=1", "not the first"},
		{"another sheet", "25 instruct window=1 sheet=1/1-24/bank:0,club:-3,hub:1,shop:2", "sheet hash"},
		{"a leg of another amount", "26 settle shop> 2 CNY window=1 sheet=1/1-24/bank:0,club:-3,hub:0,shop:3", "a part of 2 of the 3"},
		{"the creditor first", "26 settle >club 3 CNY window=1 sheet=1/1-24/bank:0,club:-3,hub:0,shop:3", "before the last debtor"},
		{"a leg twice", "27 settle shop> 3 CNY window=1 sheet=1/1-24/bank:0,club:-3,hub:0,shop:3", "no leg"},
		{"settled early", "27 settled window=1 sheet=1/1-24/bank:0,club:-3,hub:0,shop:3", "1 legs are not confirmed"},
		{"a window that is not there", "24 close window=3", "no window 3"},
		{"a cap that one person set", "30 cap-approved bank> 2000 CNY key=c1 maker=ann checker=Ann", "checked by"},
		{"another cap than was proposed", "30 cap-approved bank> 2001 CNY key=c1 maker=ann checker=bob", "proposed 2000"},
		{"a cap that nobody proposed", "30 cap-approved bank> 2000 CNY key=c9 maker=ann checker=bob", "no cap waits"},
		{"approved and rejected", "32 cap-rejected bank> 2000 CNY key=c1 maker=ann checker=bob", "no cap waits"},
		{"the cap was changed meanwhile", "31 cap bank> 1500 CNY; 30 suspend shop>; 32 cap-approved bank> 2000 CNY key=c1 maker=ann checker=bob", "entry 31 set another cap"},
		{"a deposit twice", "35 deposit bank> 500 CNY key=d1", "used before"},
		{"more than was deposited", "35 withdraw bank> 501 CNY key=d2", "500 are prefunded"},
		{"what is in use is withdrawn", "35 withdraw bank> 101 CNY key=d2", "past its cap"},
		{"past the cap and what is prefunded", "34 hold p7 bank>shop 2501 CNY asker=shop key=k10", "past its cap"},
		{"a suspended one pays", "37 hold p8 bank>shop 1 CNY asker=shop key=k11", "is suspended"},
		{"suspended twice", "39 suspend bank>", "so already"},
	} {
		_, _, err := Recompute(written(t, story, tt.line))
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
	lines, _ := io.ReadAll(written(t, story, ""))
	if _, _, err := Recompute(bytes.NewReader(bytes.Replace(lines, []byte("10:00:04"), []byte("09:00:04"), 1))); err == nil || !strings.Contains(err.Error(), "time goes back") {
		t.Errorf("time: %v", err)
	}
	if _, _, err := Recompute(bytes.NewReader(bytes.Replace(lines, []byte(`"entry":6,`), []byte(`"entry":7,`), 1))); err == nil || !strings.Contains(err.Error(), "behind entry 5") {
		t.Errorf("a gap: %v", err)
	}
	if _, _, err := Recompute(strings.NewReader("{")); err == nil {
		t.Error("half a line is read")
	}
}

// TestEveryKindOfEntryIsKnown: an outsider's program that does not know a kind
// misses its money.
func TestEveryKindOfEntryIsKnown(t *testing.T) {
	for k := range 256 {
		if name := clearing.Kind(k).String(); name != "unknown" && kinds[name] == nil {
			t.Errorf("%s is not known", name)
		}
	}
}
