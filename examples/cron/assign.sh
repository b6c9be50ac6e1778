#!/bin/sh
# An assignment morning, for cron or any other scheduler: assign.sh YYYY-MM-DD
#
# Reads $LOTTERY_HOME/in/DATE, writes out/DATE and log/DATE.log, and exits with the code of
# `lottery run`. Prints nothing when all went well, so that cron mails only what someone has to
# read. Only code 75, and files that have not arrived yet, are tried again.
#
#   LOTTERY_HOME           the folder of in, out, log and the ledger (/srv/lottery)
#   LOTTERY_LEDGER         another folder for the ledger, which `lottery init` has made
#   LOTTERY_TRIES          maximum number of tries (30)
#   LOTTERY_WAIT_SECONDS   seconds between two tries (120)
#   LOTTERY_SHIP_TO        a folder on another system, which gets the signed checkpoint
set -u
umask 027

business_date=${1:?the business date, as 2024-09-16}
home=${LOTTERY_HOME:-/srv/lottery}
tries=${LOTTERY_TRIES:-30}
wait_seconds=${LOTTERY_WAIT_SECONDS:-120}
ship_to=${LOTTERY_SHIP_TO:-}
export LOTTERY_LEDGER="${LOTTERY_LEDGER:-$home/lottery-ledger}"
received=$home/in/$business_date

# Print the first of a role's files that exists.
first_of() {
	for name; do
		if [ -e "$received/$name" ]; then
			echo "$received/$name"
			return
		fi
	done
}

morning() {
	notices=$(first_of notices.xml notices.parquet notices.csv)
	positions=$(first_of positions.parquet positions.csv)
	volumes=$(first_of volumes.json volumes.csv)
	occ_positions=$(first_of occ_positions.xml)
	if [ -z "$notices" ] || [ -z "$positions" ] || [ -z "$volumes" ]; then
		echo "$received does not have notices, positions and volumes yet"
		return 75
	fi
	lottery run --date "$business_date" --output "$home/out/$business_date" \
		--notices "$notices" --positions "$positions" --volumes "$volumes" \
		${occ_positions:+--occ-positions "$occ_positions"} 2>&1
}

mkdir -p "$home/log" || exit 75
exec 9>>"$home/log/assign.lock"
if ! flock -n 9; then
	echo "assign.sh is already running; $business_date was not tried"
	exit 75
fi

try=1
while :; do
	printed=$(morning)
	code=$?
	echo "$(date -u +%FT%TZ) try $try, exit code $code
$printed" >>"$home/log/$business_date.log"
	if [ "$code" -ne 75 ] || [ "$try" -ge "$tries" ]; then
		break
	fi
	try=$((try + 1))
	sleep "$wait_seconds"
done

if [ -n "$ship_to" ] && { [ "$code" -eq 0 ] || [ "$code" -eq 4 ]; }; then
	cp "$LOTTERY_LEDGER/log/checkpoint" "$ship_to/checkpoint-$business_date" \
		|| echo "the signed checkpoint was not copied to $ship_to"
fi

case $code,$printed in
0,*"warning: "*) ;;
0,*) exit 0 ;;
esac
echo "Assignment of $business_date: exit code $code after $try of $tries tries; docs/OPERATIONS.md says what to do."
echo "$printed"
exit "$code"
