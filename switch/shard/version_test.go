package shard

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// lowered is the directory with other caps, and of many chunks.
var lowered = strings.ReplaceAll(source, `caps: {CNY: "100.00"}`, `caps: {CNY: "40.00"}`) + strings.Repeat("# of a length that one message does not hold\n", 3*sourceChunk/44)

// goBy waits until all shards go by a directory, and says so of nobody else.
func (m *market) goBy(source string) {
	m.t.Helper()
	want := sha256.Sum256([]byte(source))
	m.eventually("all go by one directory, and know it", func() bool {
		for s, e := range m.engines {
			if e != nil && (e.Directory().Hash() != want || len(m.nodes[s].Differs()) > 0) {
				return false
			}
		}
		return true
	})
}

// TestADirectoryThatOneShardIsGivenComesIntoForceInAll, whichever that is, under whatever
// numbers; and a head that is started with another takes all
// along. Another shard that is started with another one comes to the head's by itself.
func TestADirectoryThatOneShardIsGivenComesIntoForceInAll(t *testing.T) {
	m := newMarket(t, 3)
	for s := uint16(1); s <= 3; s++ {
		text := lowered + fmt.Sprintf("# %d\n", s)
		if err := m.nodes[s-1].Offer(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := m.bring(t.Context(), s, m.engines[s-1], []byte(text)); err != nil {
			t.Fatal(err)
		}
		m.goBy(text)
	}
	for i, bank := range []string{"weibank", "alibank", "unibank"} {
		a, err := m.pay(uint16(i+1), bank, "much-"+bank, i, 4_001)
		if err != nil || a.Reason != tongma.OverCap {
			t.Errorf("%s: %+v, %v", bank, a, err)
		}
		m.mustPay(uint16(i+1), bank, "less-"+bank, 10+i, 4_000)
	}
	m.audit()
	m.stop(1)
	m.keeps, m.later = true, source+"# as it was\n"
	m.start(1)
	m.goBy(m.later)
	m.mustPay(2, "alibank", "as-before", 20, 5_000)
	m.stop(2)
	m.later = source + "# of one alone\n"
	m.start(2)
	m.goBy(source + "# as it was\n")
	m.audit()
}

// TestAShardOfAnotherDirectoryIsNamed by all, with why, for as long as it goes by that one; and
// then it follows by itself. Without the head nothing changes.
func TestAShardOfAnotherDirectoryIsNamed(t *testing.T) {
	m := newMarket(t, 3)
	m.refuses.Store(3)
	if err := m.bring(t.Context(), 1, m.engines[0], []byte(lowered)); err != nil {
		t.Fatal(err)
	}
	m.eventually("all name the third shard", func() bool {
		for s, n := range m.nodes {
			lines := strings.Join(n.Differs(), "; ")
			if strings.Count(lines, "goes by another") != 1 || !strings.Contains(lines, "shard 3 goes by another directory") || (s == 2) != strings.Contains(lines, "it is not to be") {
				return false
			}
		}
		return true
	})
	m.refuses.Store(0)
	m.goBy(lowered)
	m.stop(1)
	err := m.nodes[1].Offer(t.Context(), []byte(source))
	if tongma.ReasonOf(err) != tongma.Overloaded || !strings.Contains(err.Error(), "nothing has changed") {
		t.Errorf("%v", err)
	}
	if d := m.engines[1].Directory(); !bytes.Equal(d.Source(), []byte(lowered)) {
		t.Errorf("version %d is in force", d.Version())
	}
}

// TestTheHeadRefusesForAll: a directory that it does not take comes into force nowhere.
func TestTheHeadRefusesForAll(t *testing.T) {
	m := newMarket(t, 2)
	m.refuses.Store(uint32(clearing.Head))
	if err := m.nodes[1].Offer(t.Context(), []byte(lowered)); err == nil {
		t.Error("the head took it")
	}
	if _, err := m.nodes[0].takeOffer(t.Context(), offerMsg{Shard: 2, Hash: make([]byte, 32)}); tongma.ReasonOf(err) != tongma.StateConflict {
		t.Errorf("one that nobody has: %v", err)
	}
	for _, e := range m.engines {
		if e.Directory().Version() != 1 {
			t.Errorf("version %d", e.Directory().Version())
		}
	}
}
