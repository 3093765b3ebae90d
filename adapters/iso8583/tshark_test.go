package iso8583

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tongma/tongma"
)

// conversation returns the frames of a whole day in small: what the client sent
// and what the server answered, with a MAC or without.
func conversation(t *testing.T, key *MAC) [][]byte {
	s := newStand(t, func(cfg *Config) { cfg.Key = func(string) *MAC { return key } })
	c := s.client(t, func(cfg *ClientConfig) { cfg.MAC = key })
	p := purchase("6259960012345678901")
	p.Trace = c.NextTrace()
	replies := []Reply{
		mustReply(t, "00")(c.Purchase(t.Context(), p)),
		mustReply(t, "51")(c.Purchase(t.Context(), purchase("poor"))),
		mustReply(t, "00")(c.Reverse(t.Context(), Reversal{Original: p.Trace, Advice: true, Amount: p.Amount})),
		mustReply(t, "25")(c.Refund(t.Context(), Refund{Original: Trace{"000999", "1121080910"}, Amount: cny(1), Merchant: p.Merchant})),
		mustReply(t, "17")(c.Inquire(t.Context(), Inquiry{Original: p.Trace})),
	}
	var out [][]byte
	frame := func(m *Message) {
		f := newFrame()
		if err := f.pack(m, key); err != nil {
			t.Fatal(err)
		}
		out = append(out, bytes.Clone(f.b))
	}
	for _, fields := range []map[int]string{fields0200(), {3: "000000", 7: "1122080910", 11: "000124", 32: "00010344", 39: "68",
		90: originalData("000123", "1122080910", "00010344", "00010000")}} {
		m := new(Message)
		m.Reset(map[bool]string{true: "0201", false: "0421"}[fields[90] == ""])
		for id, v := range fields {
			m.SetText(id, v)
		}
		frame(m)
	}
	for _, r := range replies {
		out = append(out, append([]byte{byte(len(r.Raw) >> 8), byte(len(r.Raw))}, r.Raw...))
	}
	return out
}

// tshark decodes frames with Wireshark's dissector, and returns the values of
// DE2 to DE128 of each, by number.
func tshark(t *testing.T, frames [][]byte) []map[int]string {
	t.Helper()
	dir := t.TempDir()
	var dump strings.Builder
	for _, f := range frames {
		dump.WriteString("000000")
		for _, c := range f {
			fmt.Fprintf(&dump, " %02x", c)
		}
		dump.WriteByte('\n')
	}
	text, capture := filepath.Join(dir, "frames.hex"), filepath.Join(dir, "frames.pcap")
	if err := os.WriteFile(text, []byte(dump.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("text2pcap", "-q", "-T", "40000,8583", text, capture).CombinedOutput(); err != nil {
		t.Fatalf("text2pcap: %v\n%s", err, out)
	}
	args := []string{"-r", capture, "-d", "tcp.port==8583,iso8583", "-o", "iso8583.len_endian:Big endian",
		"-o", "iso8583.charset:Digits represented as ASCII Characters", "-o", "iso8583.binencode:Bin data not encoded",
		"-o", "tcp.analyze_sequence_numbers:FALSE", "-T", "fields", "-E", "separator=/t", "-e", "_ws.malformed", "-e", "iso8583.mti"}
	for id := 2; id <= maxField; id++ {
		args = append(args, "-e", "iso8583.bit"+strconv.Itoa(id))
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	var decoded []map[int]string
	for line := range strings.Lines(string(out)) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if columns[0] != "" {
			t.Fatalf("tshark finds it malformed: %s", line)
		}
		got := map[int]string{0: columns[1]}
		for id := 2; id <= maxField; id++ {
			if v := columns[id]; v != "" {
				got[id] = v
			}
		}
		decoded = append(decoded, got)
	}
	return decoded
}

func TestWiresharkReadsEveryFieldAsThisCodecDoes(t *testing.T) {
	for _, tool := range []string{"tshark", "text2pcap"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed, so no independent decoder was asked: apt-get install tshark", tool)
		}
	}
	key, err := NewMAC(bytes.Repeat([]byte{7}, 16))
	if err != nil {
		t.Fatal(err)
	}
	frames := append(conversation(t, nil), conversation(t, key)...)
	for _, s := range samples(t) {
		frames = append(frames, s.frame)
	}
	decoded := tshark(t, frames)
	if len(decoded) != len(frames) {
		t.Fatalf("tshark sees %d messages of %d", len(decoded), len(frames))
	}
	compared := 0
	for i, f := range frames {
		var m Message
		if err := m.Unpack(f[headerSize:]); err != nil {
			t.Fatal(err)
		}
		if decoded[i][0] != m.MTI() {
			t.Errorf("message %d: tshark says %s, we say %s", i, decoded[i][0], m.MTI())
		}
		for id := 2; id <= maxField; id++ {
			want := m.Text(id)
			if house.rows[id].class == classB {
				want = hex.EncodeToString(m.Get(id))
			}
			got := strings.TrimSuffix(decoded[i][id], "`")
			if !strings.EqualFold(strings.TrimSpace(got), strings.TrimSpace(want)) { // it writes hex in capitals
				t.Errorf("message %d (%s): DE%d: tshark says %q, we say %q", i, m.MTI(), id, got, want)
			}
			if m.Has(id) {
				compared++
			}
		}
	}
	t.Logf("%d fields of %d messages agree", compared, len(frames))
}

func TestReasonStandsInDE44ForPeople(t *testing.T) {
	var request, reply Message
	request.Reset("0200")
	reply.refuse(&request, tongma.FieldUnreadable, "DE3")
	if reply.Text(44) != "TM-8003 DE3" {
		t.Errorf("%q", reply.Text(44))
	}
	reply.refuse(&request, tongma.FieldUnreadable, strings.Repeat("x", 18))
	if reply.Text(44) != "TM-8003" {
		t.Errorf("%q", reply.Text(44))
	}
}
