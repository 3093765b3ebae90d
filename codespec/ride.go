package codespec

import (
	"encoding/binary"
	"strings"
)

// Ride codes are recognised by their lengths, never verified here: that takes
// keys, lists and a clock (SM2 signatures of issuer and user).
const (
	rideInterop  = 0x80
	rideLocal    = 0x81
	shanghaiMark = "SHSTMETRO"

	rideFixed     = 329 // bytes of fields 3-17 without the custom data
	rideCustomAt  = 197 // index of the byte that gives the length of the custom data
	rideCustomMax = 32
)

var (
	transportMatch = [1]Match{{Scheme: "cn-transport", Rule: "ride.cn-transport.1", Path: "header", Note: "checked offline at a gate"}}
	shanghaiMatch  = [1]Match{{Scheme: "shanghai-metro", Rule: "ride.shanghai-metro.1", Path: "header", Note: "checked offline at a gate"}}
)

// decodeRide reads the header of a binary ride code. The declared length says
// where the code ends, because its last byte may look like a line feed.
func decodeRide(raw string) (Code, error) {
	if strings.HasPrefix(raw, shanghaiMark) {
		return ride(raw, len(shanghaiMark), shanghaiMatch[:], func(int) bool { return true })
	}
	return ride(raw, 1, transportMatch[:], func(n int) bool {
		custom := n - rideFixed
		return custom >= 0 && custom <= rideCustomMax && int(raw[rideCustomAt]) == custom
	})
}

func ride(raw string, lengthAt int, match []Match, fits func(length int) bool) (Code, error) {
	bad := fail(FormatRide, ReasonRideLength, "lengths do not add up")
	if len(raw) < lengthAt+2 {
		return Code{Format: FormatRide, Presentation: Consumer, Raw: raw}, bad
	}
	n := int(binary.BigEndian.Uint16([]byte(raw[lengthAt : lengthAt+2])))
	end := lengthAt + 2 + n
	if n == 0 || end > len(raw) || strings.Trim(raw[end:], "\r\n") != "" || !fits(n) {
		return Code{Format: FormatRide, Presentation: Consumer, Raw: raw}, bad
	}
	return Code{Format: FormatRide, Presentation: Consumer, Raw: raw[:end], Matches: match}, nil
}
