#!/bin/sh
# Compiles the client and what protoc makes of the protos, with the packages of Debian:
#
#   apt install default-jdk-headless protobuf-compiler libprotobuf-dev libprotobuf-java
#   apt install protobuf-compiler-grpc-java-plugin libgrpc-java libnetty-java libperfmark-java
#   apt install libguava-java libgeronimo-annotation-1.3-spec-java libslf4j-java
#
# ./build.sh [PROTOS [FOLDER]]
#
# PROTOS is the folder of the protos: the repository's by default. An installation has them too:
#
#   python -c "import lottery, pathlib; print(pathlib.Path(lottery.__file__).parent / 'proto')"
#
# FOLDER is where the classes go, build by default, and arguments for java that name them.
set -eu
here=$(dirname "$0")
protos=${1:-$here/../../proto}
folder=${2:-$here/build}
jars=
for name in grpc-api grpc-context grpc-core grpc-netty grpc-protobuf grpc-protobuf-lite grpc-stub \
    protobuf guava geronimo-annotation-1.3-spec perfmark-api slf4j-api slf4j-nop \
    netty-buffer netty-codec netty-codec-http netty-codec-http2 netty-common netty-handler \
    netty-handler-proxy netty-resolver netty-transport netty-transport-native-unix-common; do
    jars=$jars:/usr/share/java/$name.jar
done
mkdir -p "$folder/source"
protoc --proto_path="$protos" --java_out="$folder/source" \
    --plugin=protoc-gen-grpc-java="$(command -v grpc_java_plugin)" \
    --grpc-java_out="$folder/source" \
    google/api/annotations.proto google/api/field_behavior.proto google/api/http.proto \
    google/type/date.proto \
    lottery/v1/lottery.proto lottery/v1/lottery_service.proto
find "$folder/source" -name '*.java' > "$folder/sources"
printf -- '-cp %s\n' "$folder$jars" > "$folder/arguments"
javac -nowarn -proc:none -d "$folder" "@$folder/arguments" "@$folder/sources" "$here/Client.java"
