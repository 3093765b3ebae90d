package bus

import (
	"slices"
	"testing"
	"time"
)

// TestTheMajorityIsSeen from words that went both ways: who is cut off, hears others
// and is not heard, stands still, or reaches fewer than another does, is not with it; and
// if nobody is, nobody is.
func TestTheMajorityIsSeen(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name  string
		heard [3][3]int // milliseconds ago: through the server of the row, the word of the column
		want  []bool
	}{
		{"all are one", [3][3]int{{0, 9, 9}, {9, 0, 9}, {9, 9, 0}}, []bool{true, true, true}},
		{"the first is cut off", [3][3]int{{0, 900, 900}, {900, 0, 9}, {900, 9, 0}}, []bool{false, true, true}},
		{"the first hears and is not heard", [3][3]int{{0, 9, 9}, {900, 0, 9}, {900, 9, 0}}, []bool{false, true, true}},
		{"the first is heard and does not hear", [3][3]int{{0, 900, 900}, {9, 0, 9}, {9, 9, 0}}, []bool{false, true, true}},
		{"the first stands still", [3][3]int{{900, 900, 900}, {900, 0, 9}, {900, 9, 0}}, []bool{false, true, true}},
		{"one link of three is cut: the leader may be at its other end", [3][3]int{{0, 9, 900}, {9, 0, 9}, {900, 9, 0}}, []bool{false, true, false}},
		{"each is alone", [3][3]int{{0, 900, 900}, {900, 0, 900}, {900, 900, 0}}, []bool{false, false, false}},
		{"we stood still", [3][3]int{{900, 900, 900}, {900, 900, 900}, {900, 900, 900}}, []bool{false, false, false}},
	} {
		heard := make([][]time.Time, 3)
		for i, row := range test.heard {
			for _, ago := range row {
				heard[i] = append(heard[i], now.Add(-time.Duration(ago)*time.Millisecond))
			}
		}
		if got := withMajority(heard, now); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// TestAddressesOfServersAreCompared as host and port, however they are written.
func TestAddressesOfServersAreCompared(t *testing.T) {
	for _, one := range []string{"n1", " n1:4222", "nats://n1", "tls://n1:4222", "nats://user:secret@n1:4222"} {
		if got := addressOf(one); got != "n1:4222" {
			t.Errorf("%s: %s", one, got)
		}
	}
}
